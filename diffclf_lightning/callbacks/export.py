"""Export of a trained model as a folder that its own library reads."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer

from diffclf_lightning.callbacks.results import results_folder
from diffclf_lightning.denoisers.lora_files import check_written
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of


class Export(Callback):
    """Writes the model when training ends, with averaged weights where these are kept.

    Args:
        folder: Folder of the model, made if need be. Defaults to None: one in the folder of the
            run.

    Raises:
        InputError: If there is neither, when training starts.
    """

    called: ClassVar[str]
    """What is written."""
    subfolder: ClassVar[str]
    """Its folder in that of the run."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else path_of(folder)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Know the folder before the first step."""
        self.target(trainer)

    def target(self, trainer: Trainer) -> Path:
        """Where the model is written.

        Args:
            trainer: The trainer, whose run may have a folder.
        """
        run = results_folder(trainer)
        if self.folder is None and run is None:
            raise InputError(
                f"Expected argument `folder` of {type(self).__name__}, since the run has no folder "
                "of its own (`ResultsWriter`), but got none."
            )
        return self.folder or Path(str(run)) / self.subfolder

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.write(pl_module, self.target(trainer))

    @abstractmethod
    def write(self, module: Any, folder: Path) -> None:
        """Write what is to be written of a module into a folder."""


class ExportDenoiser(Export):
    """Writes the denoiser when training ends, with averaged weights where these are kept.

    Args:
        folder: Folder of the pipeline, made if need be. Defaults to None: ``denoiser`` in the
            folder of the run.

    Raises:
        InputError: If there is neither, when training starts.
    """

    called, subfolder = "Pipeline", "denoiser"

    def write(self, module: Any, folder: Path) -> None:
        module.denoiser.save_pretrained(folder)


class ExportLoRA(Export):
    """Writes the LoRA layers of the denoiser when training ends, and nothing else.

    Args:
        folder: Folder of the weights, made if need be. Defaults to None: ``lora`` in the folder of
            the run.

    Raises:
        InputError: If there is neither, the module trains none, or diffusers loads none for this
            family, when training starts.
    """

    called, subfolder = "LoRA", "lora"

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Know, before the first step, that there will be something to write, and where."""
        check_written(pl_module.denoiser)
        super().on_fit_start(trainer, pl_module)

    def write(self, module: Any, folder: Path) -> None:
        module.denoiser.save_lora(folder)


class ExportOpenClip(Export):
    """Writes a contrastive model as open_clip reads it, when training ends.

    Args:
        folder: Folder of the model, made if need be. Defaults to None: ``open_clip`` in the folder
            of the run.

    Raises:
        InputError: If there is neither, when training starts.
    """

    called, subfolder = "Model", "open_clip"

    def write(self, module: Any, folder: Path) -> None:
        module.save_pretrained(folder)
