"""ResultsWriter: results reach the disk as they come, and an interrupted run goes on."""

from datetime import datetime
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info

from diffclf_lightning.answers import Predictions
from diffclf_lightning.image_classifier import ImageClassifier
from diffclf_lightning.results import RunFolder, write_whole


class ResultsWriter(Callback):
    """Stores the results of ``test``, ``predict`` and ``validate`` in a folder.

    Args:
        folder: Folder of results. An existing one is continued: images that it holds are not
            evaluated again. Defaults to None: a new one under ``runs``.
        errors: Whether the error of every candidate at every trial is stored too, by every loss,
            so that ``diffclf score`` can answer again by other scores.
    """

    def __init__(self, folder: str | Path | None = None, errors: bool = False) -> None:
        self.folder, self.errors = folder, errors
        self.name = "run"
        self.config: str | None = None
        self.run: RunFolder | None = None
        self._description: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose the folder, the same on all ranks."""
        if stage not in ("test", "predict", "validate"):
            return
        fresh = Path("runs") / f"{self.name}-{datetime.now():%Y%m%d-%H%M%S}"
        self.run = RunFolder(trainer.strategy.broadcast(str(self.folder or fresh)))

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the folder and take up what it holds; validation within ``fit`` is not stored."""
        if trainer.state.fn == TrainerFn.FITTING:
            return
        run, classifier = self._opened(), tested_classifier(self, pl_module)
        self._description = {
            "command": str(trainer.state.fn.value) if trainer.state.fn else "",
            **classifier.describe(),
            "precision": str(trainer.precision),
            "errors": self.errors,
        }
        candidates = _candidates(classifier)
        run.check(self._description, candidates)
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            run.begin(self._description, candidates)
            if self.config is not None:
                write_whole(run.path / "config.yaml", self.config)
        trainer.strategy.barrier()
        classifier.completed = run.completed(classifier.stored_columns)
        classifier.keep_errors = self.errors
        trainer.strategy.barrier()
        count = sum(len(rows) for rows in classifier.completed.values())
        if count:
            rank_zero_info(f"Continuing {run.path}: it holds {count} images.")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the rows of a batch."""
        if trainer.state.fn != TrainerFn.FITTING and isinstance(outputs, Predictions):
            task = tested_classifier(self, pl_module).task
            self._opened().add(trainer.global_rank, outputs, task.schema)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the rows of all ranks and write the summary."""
        if trainer.state.fn == TrainerFn.FITTING:
            return
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            classifier = tested_classifier(self, pl_module)
            candidates = _candidates(classifier)
            self._opened().finish(classifier.reports, self._description, candidates)
        trainer.strategy.barrier()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the classifier as it was."""
        if isinstance(pl_module, ImageClassifier):
            pl_module.keep_errors = False

    on_predict_epoch_start = on_validation_epoch_start = on_test_epoch_start
    on_predict_batch_end = on_validation_batch_end = on_test_batch_end
    on_predict_end = on_validation_end = on_test_end

    def _opened(self) -> RunFolder:
        if self.run is None:
            raise RuntimeError(
                "ResultsWriter was not set up: run it through Trainer.test or predict."
            )
        return self.run


def results_folder(trainer: Trainer) -> Path | None:
    """Folder of the results of a trainer's run; None where they are not stored."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ResultsWriter) and callback.run is not None:
            return callback.run.path
    return None


def _candidates(classifier: ImageClassifier) -> dict[str, Any]:
    return {current.name: current.candidate_labels for current in classifier.sets}


def tested_classifier(callback: Callback, module: LightningModule) -> ImageClassifier:
    """The module of a run, which has to be a classifier of this package.

    Raises:
        TypeError: If it is another; the message names the callback.
    """
    if not isinstance(module, ImageClassifier):
        raise TypeError(
            f"Expected {type(callback).__name__} to run with an ImageClassifier, but got "
            f"{type(module).__name__}."
        )
    return module
