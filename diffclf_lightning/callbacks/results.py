"""ResultsWriter: the folder of a run. Results reach the disk as they come, and a run goes on."""

from dataclasses import replace
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from diffclf_lightning import __version__
from diffclf_lightning.answers import Predictions
from diffclf_lightning.callbacks.requeue import job_name
from diffclf_lightning.callbacks.thumbnails import COLUMN, Thumbnails
from diffclf_lightning.errors import InputError
from diffclf_lightning.files import made, write_whole
from diffclf_lightning.image_classifier import ImageClassifier
from diffclf_lightning.paths import path_of
from diffclf_lightning.ranks import BusyTime, on_first, waiting_share, whole
from diffclf_lightning.results import FolderLock, RunFolder, check_shared, machine

CHECKPOINTS, CONFIG, RUNS = "checkpoints", "config.yaml", Path("runs")
HEAD = "# lightning.pytorch=="
"""Begins a configuration that a run wrote."""


class ResultsWriter(Callback):
    """Stores the results of ``test``, ``predict`` and ``validate`` in a folder.

    The folder of ``fit`` has the configuration, and what callbacks put there that are given no
    other: ``checkpoints`` (``ModelCheckpoint``) and ``denoiser`` (:class:`ExportDenoiser`).

    Args:
        folder: Folder of results. An existing one is continued: images that it holds are not
            evaluated again. Defaults to None: one under ``runs`` that is named by the time, and
            under SLURM by the job, so that a requeued job goes on.
        errors: Whether the error of every candidate at every trial is stored too, by every loss,
            so that ``diffclf score`` can answer again by other scores.
        thumbnails: Number of images of each set, on each process, that are stored as small
            pictures for ``diffclf report``; 0 for none.
        overwrite: Whether results of another configuration, and of samples that have changed, are
            replaced instead of refused. What has not changed is not evaluated again.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        errors: bool = False,
        thumbnails: int = 500,
        overwrite: bool = False,
    ) -> None:
        if folder is not None and not str(folder).strip():
            raise InputError("Expected `results.folder` to name a folder, but got an empty text.")
        self.folder, self.errors, self.overwrite = folder, errors, overwrite
        self.thumbnails, self._thumbnails = thumbnails, Thumbnails(thumbnails)
        self.name = "run"
        self.config: str | None = None
        self.run: RunFolder | None = None
        self._description: dict[str, Any] = {}
        self._recorded = False
        self._busy = BusyTime()
        self._seconds: list[float] = []
        self._lock: FolderLock | None = None

    def chosen(self) -> Path:
        """The folder of results: the given one, or another under ``runs``."""
        if self.folder is not None:
            return path_of(self.folder)
        if (job := job_name()) is not None:  # which goes on in its folder
            return RUNS / f"{self.name}-{job}"
        fresh = RUNS / f"{self.name}-{datetime.now():%Y%m%d-%H%M%S}"
        names = (fresh.with_name(f"{fresh.name}-{number}") for number in count(2))
        return next(path for path in chain([fresh], names) if not path.exists())

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose the folder, the same on all ranks; ``ModelCheckpoint`` is set up after this.

        Of all callbacks this becomes the first one: others may fail once the results are stored.
        """
        self.run = RunFolder(trainer.strategy.broadcast(str(self.chosen())))
        others = [one for one in trainer.callbacks if one is not self]  # type: ignore[attr-defined]
        trainer.callbacks = [self, *others]  # type: ignore[attr-defined]
        for callback in trainer.checkpoint_callbacks if stage == "fit" else ():
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(self.run.path / CHECKPOINTS)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the folder of a training run, which goes on if its checkpoint is given.

        Raises:
            InputError: If it holds a run already.
        """
        run, goes_on = self._opened(), bool(trainer.ckpt_path)

        def begin() -> None:
            self._take_lock()
            held = run.run_file.exists() or any((run.path / CHECKPOINTS).glob("*.ckpt"))
            if held and not goes_on:
                raise InputError(
                    f"Expected a new folder for `fit`, but {str(run.path)!r} holds a run. Choose "
                    "another `results.folder`, or give the checkpoint to go on from "
                    "(`--ckpt_path`)."
                )
            if not held and self.config is not None:
                check_config(run.path)
            self._write_config("fit", beside=run.run_file.exists())

        on_first(trainer.global_rank, begin)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the folder and take up what it holds; validation within ``fit`` is not stored."""
        if trainer.state.fn == TrainerFn.FITTING:
            return
        run, classifier = self._opened(), tested_classifier(self, pl_module)
        self._thumbnails = Thumbnails(self.thumbnails)
        self._recorded = False
        self._description = {
            "command": str(trainer.state.fn.value) if trainer.state.fn else "",
            **classifier.describe(),
            "precision": str(trainer.precision),
            "errors": self.errors,
        }
        candidates = _candidates(classifier)

        def begin() -> list[str]:
            self._take_lock()
            fresh = not run.run_file.exists()
            trained = fresh and (run.path / CHECKPOINTS).exists()
            if fresh and not trained and self.config is not None:
                check_config(run.path)
            said = run.begin(self._description, candidates, overwrite=self.overwrite)
            self._write_config(self._description["command"], beside=trained)
            return said

        for sentence in on_first(trainer.global_rank, begin):
            rank_zero_warn(sentence)
        check_shared(run.path, trainer.global_rank)
        stored = run.completed(classifier.stored_columns)
        for current in classifier.sets:
            rows = stored.get(current.name)
            rows = rows and replace(rows, replaceable=self.overwrite)
            current.take_up(rows, limited=_limited(trainer))
        classifier.keep_errors = self.errors
        run.parts.begin()
        trainer.strategy.barrier()
        if count := sum(len(rows) for rows in stored.values()):
            rank_zero_info(f"Continuing {run.path}: it holds {count} images.")
        self._busy = BusyTime()

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
            classifier = tested_classifier(self, pl_module)
            pictures = self._thumbnails.column(batch, outputs, classifier.sets[dataloader_idx])
            stored = replace(outputs, columns={**outputs.columns, COLUMN.name: pictures})
            self._check_lock()
            self._opened().add(trainer.global_rank, stored, classifier.task.schema.append(COLUMN))
            if trainer.is_global_zero and not self._recorded:
                machines = machine(pl_module.device, trainer.world_size, __version__)
                self._opened().described.record(machines)
                self._recorded = True
        if trainer.state.fn != TrainerFn.FITTING and isinstance(pl_module, ImageClassifier):
            self._busy.lap(pl_module.sets[dataloader_idx].name)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the rows of all ranks and write the summary, before anything else may fail."""
        if trainer.state.fn == TrainerFn.FITTING:
            return
        run, classifier = self._opened(), tested_classifier(self, pl_module)
        if trainer.state.fn == TrainerFn.PREDICTING:
            for current in classifier.sets:
                current.gathered()  # which tells the rows that do not count, or refuses them
        else:
            classifier.report()
        busy, candidates = self._busy.of_all_ranks(), _candidates(classifier)

        def finish() -> list[str]:
            self._check_lock()
            run.gather({current.name: current.dropped for current in classifier.sets})
            stored = run.completed(classifier.stored_columns)
            reports = {
                current.name: current.report(stored.get(current.name), counted)
                for current in classifier.sets
                if (counted := classifier.reports.get(current.name)) is not None
            }
            counts = {name: len(rows) for name, rows in stored.items()}
            if trainer.state.fn == TrainerFn.PREDICTING:
                counts = {}
            return run.finish(reports, self._description, candidates, busy, counts)

        for name in on_first(trainer.global_rank, finish):
            rank_zero_warn(
                f"Rows of set {name!r} in {run.path} are of a run that did not end: the summary "
                "says nothing of it until the command that evaluates it has gone on to its end."
            )
        self._seconds = whole(busy)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the classifier as it was, and the folder to others.

        Below all else it says how long ranks waited for each other.
        """
        self._release()
        seconds, self._seconds = self._seconds, []
        if len(seconds) > 1:
            rank_zero_info(
                f"{len(seconds)} processes were busy for {min(seconds):.1f} to {max(seconds):.1f} "
                f"s: {waiting_share(seconds):.1%} of their time they waited for the slowest."
            )
        if isinstance(pl_module, ImageClassifier):
            pl_module.keep_errors = False

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the folder to others."""
        self._release()

    on_predict_epoch_start = on_validation_epoch_start = on_test_epoch_start
    on_predict_batch_end = on_validation_batch_end = on_test_batch_end
    on_predict_epoch_end = on_validation_epoch_end = on_test_epoch_end

    def _take_lock(self) -> None:
        self._release()
        self._lock = FolderLock(made(self._opened().path), rank_zero_info)
        self._lock.acquire()

    def _check_lock(self) -> None:
        if self._lock is not None:
            self._lock.check()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def _write_config(self, command: str, *, beside: bool) -> None:
        """Write the configuration, beside that of a training and of results in one folder."""
        if self.config is not None:
            folder = self._opened().path
            own = folder / f"config-{command}.yaml"
            write_whole(own if beside or own.exists() else folder / CONFIG, self.config)

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


def check_config(folder: Path) -> None:
    """Refuse a folder whose configuration is not of a run, and would be lost.

    Args:
        folder: The folder of results.

    Raises:
        InputError: If it is.
    """
    file = folder / CONFIG
    if file.exists() and file.read_bytes()[: len(HEAD)] not in (b"", HEAD.encode()):
        raise InputError(
            f"Expected `results.folder` to be new or the folder of a run, but {str(folder)!r} has "
            f"a {CONFIG} that no run wrote. Choose another `results.folder`, or move that file "
            "away."
        )


def _candidates(classifier: ImageClassifier) -> dict[str, Any]:
    return {current.name: current.candidate_labels for current in classifier.sets}


def _limited(trainer: Trainer) -> bool:
    """Whether a run is of some batches of its sets alone."""
    limits = {
        TrainerFn.TESTING: trainer.limit_test_batches,
        TrainerFn.PREDICTING: trainer.limit_predict_batches,
        TrainerFn.VALIDATING: trainer.limit_val_batches,
    }
    limit = limits.get(trainer.state.fn) if trainer.state.fn else None
    return not (limit is None or (isinstance(limit, float) and limit == 1.0))


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
