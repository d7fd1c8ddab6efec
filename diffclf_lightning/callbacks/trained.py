"""TrainedModel: the end of ``fit``. What came of it, where it is, and how it is tested."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from rich.console import Console

from diffclf_lightning.callbacks.averaging import AveragedWeights
from diffclf_lightning.callbacks.export import Export
from diffclf_lightning.callbacks.results import CHECKPOINTS, CONFIG, results_folder

LAST = "last"
"""Name of the checkpoint of the weights that training ends with."""


class TrainedModel(Callback):
    """Stores the weights that training ends with, and says where all of the run is.

    To be the last of the callbacks, so that what they write is there. No checkpoint is stored where
    the Trainer has none.
    """

    def __init__(self) -> None:
        self._checkpoint: Path | None = None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Store the weights that were kept."""
        run = results_folder(trainer)
        self._checkpoint = None
        if run is not None and trainer.checkpoint_callbacks:
            self._checkpoint = run / CHECKPOINTS / f"{LAST}.ckpt"
            trainer.save_checkpoint(self._checkpoint, weights_only=False)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what there is, on one rank."""
        run = results_folder(trainer)
        if not trainer.is_global_zero or run is None:
            return
        console = Console()
        for name, value in self.lines(trainer, run):
            console.print(f"{name}: {value}", soft_wrap=True, highlight=False, markup=False)

    def lines(self, trainer: Trainer, run: Path) -> list[tuple[str, str]]:
        """Names and values to print.

        Args:
            trainer: The trainer.
            run: Folder of the run.
        """
        told: list[tuple[str, str]] = []
        config = run / CONFIG
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, AveragedWeights):
                told.append(("Weights", callback.said()))
            elif isinstance(callback, Export):
                told.append((callback.called, str(callback.target(trainer))))
            elif isinstance(callback, ModelCheckpoint) and callback.monitor is not None:
                told.append((f"Best {callback.monitor}", callback.best_model_path))
        if self._checkpoint is not None:
            told.append(("Checkpoint", str(self._checkpoint)))
        if config.is_file():
            told.append(("Configuration", str(config)))
        if config.is_file() and self._checkpoint is not None:
            command = f"diffclf test --config {config} --ckpt_path {self._checkpoint}"
            told.append(("Test it", command))
        return told
