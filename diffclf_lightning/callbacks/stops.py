"""Stops: how a run that is stopped by a signal goes on."""

import shlex
from contextlib import suppress
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from diffclf_lightning.callbacks.results import CHECKPOINTS, results_folder
from diffclf_lightning.image_classifier import ImageClassifier
from diffclf_lightning.ranks import of_all_ranks
from diffclf_lightning.results import RunFolder
from diffclf_lightning.stopping import Stopped, Stopping


class Stops(Callback):
    """Lets signals end a run of the command line at once, and says how it goes on.

    Lightning would go on to the end of a batch, which can take an hour; rows that are stored are
    whole at any time. ``fit`` is left to Lightning, which ends between two batches.

    Args:
        stopping: The signals.
    """

    def __init__(self, stopping: Stopping) -> None:
        self.stopping = stopping
        self._total: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Know how the run goes on; results are set up before this."""
        fits = trainer.state.fn == TrainerFn.FITTING
        self.stopping.goes_on = lambda: self._goes_on(trainer, pl_module, fits)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals back from the Trainer; within ``fit`` they are its own."""
        if trainer.state.fn != TrainerFn.FITTING:
            self.stopping.listen()

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the images of all ranks."""
        if trainer.state.fn != TrainerFn.FITTING and isinstance(pl_module, ImageClassifier):
            counts = of_all_ranks([current.num_images for current in pl_module.sets])
            known = [count for each in counts for count in each if count is not None]
            self._total = sum(known) if len(known) == sum(map(len, counts)) else None

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave SIGTERM to the Trainer from here on.

        Raises:
            Stopped: If it came before.
        """
        self.stopping.deferred = True
        if self.stopping.number is not None:
            raise Stopped(self.stopping.number)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Nothing is left that could go on."""
        self.stopping.deferred = False
        self.stopping.goes_on = str

    on_train_start = on_sanity_check_start
    on_predict_start = on_validation_start = on_test_start
    on_predict_epoch_start = on_validation_epoch_start = on_test_epoch_start

    def _goes_on(self, trainer: Trainer, module: LightningModule, fits: bool) -> str:
        folder = results_folder(trainer)
        if folder is None:
            return ""
        goes_on = f"the same command with --results.folder {shlex.quote(str(folder))}"
        if fits:
            checkpoint = _latest(folder / CHECKPOINTS)
            if checkpoint is None:
                return "no checkpoint is stored yet"
            return f"{goes_on} --ckpt_path {shlex.quote(str(checkpoint))} goes on"
        stored, sets = 0, module.sets if isinstance(module, ImageClassifier) else ()
        with suppress(Exception):  # files that are damaged are the next run's concern
            rows = RunFolder(folder).rows([])
            names = {current.name for current in sets}
            if rows is not None:
                stored = sum(not names or name in names for name in rows["set"].to_pylist())
        if not stored:
            return "no image is stored yet"
        of = "" if self._total is None else f" of {self._total}"
        return f"{stored}{of} images are stored: {goes_on} goes on"


def _latest(folder: Path) -> Path | None:
    """The checkpoint that was written last, or None."""
    found = folder.glob("*.ckpt")
    return max(found, key=lambda file: file.stat().st_mtime, default=None)
