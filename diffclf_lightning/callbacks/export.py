"""Export of a trained denoiser as a diffusers pipeline folder."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from diffclf_lightning.callbacks.results import results_folder
from diffclf_lightning.errors import InputError


class ExportDenoiser(Callback):
    """Writes the denoiser when training ends, with averaged weights where these are kept.

    Args:
        folder: Folder of the pipeline, made if need be. Defaults to None: ``denoiser`` in the
            folder of the run.

    Raises:
        InputError: If there is neither, when training starts.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Know the folder before the first step."""
        self.target(trainer)

    def target(self, trainer: Trainer) -> Path:
        """Where the pipeline is written.

        Args:
            trainer: The trainer, whose run may have a folder.
        """
        run = results_folder(trainer)
        if self.folder is None and run is None:
            raise InputError(
                "Expected argument `folder` of ExportDenoiser, since the run has no folder of its "
                "own (`ResultsWriter`), but got none."
            )
        return self.folder or Path(str(run)) / "denoiser"

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        if trainer.is_global_zero:
            module.denoiser.save_pretrained(self.target(trainer))
