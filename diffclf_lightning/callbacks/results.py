"""ResultsWriter: results reach the disk as they come, and an interrupted run goes on."""

from datetime import datetime
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from diffclf_lightning.image_classifier import ImageClassifier
from diffclf_lightning.predictions import Predictions
from diffclf_lightning.results import RunFolder, write_whole


class ResultsWriter(Callback):
    """Stores the results of ``test`` and ``predict`` in a folder.

    Args:
        folder: Folder of results. An existing one is continued: images that it holds are not
            evaluated again. When not given, a new one under ``runs``.
        errors: Whether the error of every candidate at every trial is stored too.
    """

    def __init__(self, folder: str | Path | None = None, errors: bool = False) -> None:
        self.folder, self.errors = folder, errors
        self.name = "run"
        self.config: str | None = None
        self.run: RunFolder | None = None
        self._description: dict[str, Any] = {}
        self._parts = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose the folder, the same on all ranks."""
        if stage not in ("test", "predict"):
            return
        fresh = Path("runs") / f"{self.name}-{datetime.now():%Y%m%d-%H%M%S}"
        self.run = RunFolder(trainer.strategy.broadcast(str(self.folder or fresh)))

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the folder and take up what it holds."""
        self._begin(trainer, pl_module)

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the folder and take up what it holds."""
        self._begin(trainer, pl_module)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any
    ) -> None:
        """Write the rows of a batch."""
        self._add(trainer, outputs)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any
    ) -> None:
        """Write the rows of a batch."""
        self._add(trainer, outputs)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the rows of all ranks and write the summary."""
        self._finish(trainer, pl_module)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the rows of all ranks."""
        self._finish(trainer, pl_module)

    def _begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        run, classifier = _opened(self.run), tested_classifier(self, pl_module)
        self._description = {
            "command": str(trainer.state.fn.value) if trainer.state.fn else "",
            **classifier.describe(),
            "precision": str(trainer.precision),
        }
        candidates = _candidates(classifier)
        run.check(self._description, candidates)
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            run.begin(self._description, candidates)
            if self.config is not None:
                write_whole(run.path / "config.yaml", self.config)
        trainer.strategy.barrier()
        classifier.completed = run.completed()
        self._parts = len(list(run.parts.glob("*.parquet")))
        trainer.strategy.barrier()
        if classifier.completed:
            rank_zero_info(f"Continuing {run.path}: it holds {len(classifier.completed)} images.")

    def _add(self, trainer: Trainer, outputs: Any) -> None:
        if isinstance(outputs, Predictions):
            part = f"{self._parts:06d}-rank{trainer.global_rank}"
            _opened(self.run).add(part, outputs, errors=self.errors)
            self._parts += 1

    def _finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            classifier = tested_classifier(self, pl_module)
            candidates = _candidates(classifier)
            _opened(self.run).finish(classifier.reports, self._description, candidates)
        trainer.strategy.barrier()


def results_folder(trainer: Trainer) -> Path | None:
    """Folder of the results of a run; none where they are not stored.

    Args:
        trainer: The trainer of the run.

    Returns:
        The folder.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ResultsWriter) and callback.run is not None:
            return callback.run.path
    return None


def _opened(run: RunFolder | None) -> RunFolder:
    if run is None:
        raise RuntimeError("ResultsWriter was not set up: run it through Trainer.test or predict.")
    return run


def _candidates(classifier: ImageClassifier) -> dict[str, Any]:
    return {current.name: current.candidate_labels for current in classifier.sets}


def tested_classifier(callback: Callback, module: LightningModule) -> ImageClassifier:
    """The module of a run, which has to be a classifier of this package.

    Args:
        callback: The callback that needs it.
        module: The module.

    Returns:
        The same module.

    Raises:
        TypeError: If it is another.
    """
    if not isinstance(module, ImageClassifier):
        raise TypeError(
            f"Expected {type(callback).__name__} to run with an ImageClassifier, but got "
            f"{type(module).__name__}."
        )
    return module
