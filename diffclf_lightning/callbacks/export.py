"""Export of a trained denoiser as a diffusers pipeline folder."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class ExportDenoiser(Callback):
    """Writes the denoiser when training ends, with averaged weights where they are averaged.

    Args:
        folder: Folder of the pipeline, made if need be.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        if trainer.is_global_zero:
            module.denoiser.save_pretrained(self.folder)
