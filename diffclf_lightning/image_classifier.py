"""ImageClassifier: what all classifiers of this package share as LightningModules.

A subclass says how a set is prepared and how images are answered; a task says what is asked and
how answers are counted. This base gives named sets, one row a sample whatever the number of ranks,
reports that are functions of the rows, and continued runs.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from diffclf_lightning.answering import Answering
from diffclf_lightning.answers import (
    Batch,
    Predictions,
    as_batch,
    batch_size,
    readable,
    select,
)
from diffclf_lightning.candidates import Candidates
from diffclf_lightning.checkpoints import WholeCheckpoints
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluated_set import EvaluatedSet
from diffclf_lightning.evaluation import pixel_bytes
from diffclf_lightning.loaders import shared
from diffclf_lightning.metrics import Report
from diffclf_lightning.ranks import draw_apart
from diffclf_lightning.sampling import named_loaders
from diffclf_lightning.sharding import refuse_sharding
from diffclf_lightning.tasks import CLASSIFICATION, Task, task_named

VALIDATION = "val"
"""Name of the set of ``validate`` and of validation within ``fit``."""


class ImageClassifier(WholeCheckpoints, Answering):
    """Base of the classifiers.

    Args:
        task: What sets ask. Defaults to None: what the data is made for, or else one label an
            image (:class:`Classification`).

    Attributes:
        sets: The sets of the run, known when it starts.
        reports: Reports by set name, known when it ends.
        fitted: What validation fitted, by the names of logged values.
    """

    def __init__(self, task: Task | None = None) -> None:
        super().__init__(task)
        self.sets: list[EvaluatedSet] = []
        self.reports: dict[str, Report] = {}
        self.fitted: dict[str, float] = {}

    def setup(self, stage: str) -> None:
        """Settle the task and the candidates, and give the data module the model's transform."""
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        self.settle_task(datamodule)
        if hasattr(datamodule, "set_default_transform"):
            datamodule.set_default_transform(self.transform)
        if self.task.brings_candidates:
            if getattr(self, "candidates", None) is not None:
                raise InputError(
                    f"Expected no `template` and no `candidates` for {type(self.task).__name__}, "
                    "whose samples bring candidates of their own. Leave them out."
                )
            return
        known = getattr(datamodule, "classnames", None)
        if self.classnames and known is not None and len(self.classnames) != len(known):
            raise InputError(
                f"Expected argument `classnames` to have {len(known)} names, one for each label of "
                f"the data, but got {len(self.classnames)}."
            )
        self._candidates, self.label_names = self.choices(self.classnames or known)

    def settle_task(self, datamodule: Any) -> None:
        """Take the task that the data asks for, where none was given.

        Args:
            datamodule: The data module, or None.

        Raises:
            InputError: If another was given.
        """
        wanted = task_named(getattr(datamodule, "asks", CLASSIFICATION))
        if self._given_task is None:
            if not isinstance(self.task, wanted):
                self.task = wanted()
        elif hasattr(datamodule, "asks") and not isinstance(self.task, wanted):
            raise InputError(
                f"Expected argument `task` to be {wanted.__name__} for {type(datamodule).__name__},"
                f" but got {type(self.task).__name__}. Leave `task` out: the data brings it."
            )

    def warm_up(self, images: Tensor, prepared: Any) -> None:
        """Whatever has to happen once and is no part of the time of an image.

        Args:
            images: The images of a batch.
            prepared: From :meth:`Answering.prepare`.
        """

    def describe(self) -> dict[str, Any]:
        """What decides the results, as plain values: a continued run must agree in all."""
        names = self.label_names
        return {
            "classifier": type(self).__name__,
            **self.task.describe(),
            "classnames": None if names is None else list(names),
            "temperature": self.temperature,
            "calibrated": self.calibrated,
        }

    def on_fit_start(self) -> None:
        """Draw random numbers of this rank's own."""
        draw_apart(self.global_rank)

    def on_test_start(self) -> None:
        """Prepare the sets before the first image."""
        self.begin(self.trainer.test_dataloaders, "test")

    def on_predict_start(self) -> None:
        """Prepare the sets before the first image."""
        self.begin(self.trainer.predict_dataloaders, "predict")

    def on_validation_start(self) -> None:
        """Prepare the sets before the first image."""
        self.begin(self.trainer.val_dataloaders, VALIDATION)

    def begin(self, loaders: Any, name: str) -> None:
        """Prepare the sets of some loaders.

        Args:
            loaders: As ``Trainer.test_dataloaders`` gives them.
            name: Name of a set that has none.
        """
        if self.awaits_checkpoint:
            raise InputError(
                "Expected a trained model, but got one that is not made yet. Give its checkpoint "
                "(`--ckpt_path`; `ckpt_path` of the Trainer), or its exported pipeline as "
                "`denoiser`."
            )
        refuse_sharding(self.trainer.strategy)
        self.reports, self.sets = {}, []
        metric = getattr(getattr(self.trainer, "datamodule", None), "metric", "accuracy")
        task = self.task
        if not task.brings_candidates:
            task = task.bind(self.asked(metric))
        for set_name, loader in named_loaders(loaders, name).items():
            dataset = getattr(loader, "dataset", None)
            labels = getattr(dataset, "candidate_labels", None)
            prepared, evaluations = None, None
            if task.brings_candidates:
                evaluations = self._evaluations(task.questions(dataset))
            else:
                candidates = self.all_candidates
                candidates = candidates if labels is None else candidates.restrict(labels)
                prepared, evaluations = self.prepare(candidates)
            self.sets.append(
                EvaluatedSet(
                    set_name,
                    task.of_set(dataset, set_name),
                    prepared,
                    evaluations,
                    shared(loader, set_name, self.global_rank),
                    self.global_rank,
                    labels,
                )
            )

    def _evaluations(self, questions: Iterator[tuple[int, Candidates]]) -> int | None:
        """Evaluations of a sample with candidates of its own, and whether all can be asked."""
        every = list(questions)
        if not every:
            return None
        self.check_conditions([c for _, one in every for c in one.conditions])
        images, first = every[0]
        return images * self.prepare(first)[1]

    @property
    def stored_columns(self) -> list[str]:
        """Columns of stored rows that a continued run needs."""
        fitted = self.task.fitted if self._validating else ()
        return list(dict.fromkeys([*self.task.measured, *fitted]))

    def training_batch(self, batch: Any) -> Batch:
        """A training batch as a mapping, less the images that could not be read.

        Args:
            batch: What a loader gives.

        Returns:
            The batch, with ``image`` and ``label``.

        Raises:
            InputError: If the batch is something else, or a label has no candidate.
        """
        sample = readable(as_batch(batch))
        task = self.task.bind(self.asked())
        task.check(sample, "train", needs=("label",))
        return sample

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Answer a batch; returns :class:`Predictions` or None."""
        return self.step(as_batch(batch), self.sets[dataloader_idx], needs=("label",))

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Answer a batch; returns :class:`Predictions` or None."""
        return self.step(as_batch(batch), self.sets[dataloader_idx], needs=("label",))

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Answer a batch, labels aside; returns :class:`Predictions` or None."""
        unlabelled = {name: v for name, v in as_batch(batch).items() if name != "label"}
        return self.step(unlabelled, self.sets[dataloader_idx])

    def step(self, batch: Batch, current: EvaluatedSet, needs: Sequence[str] = ()) -> Any:
        """Answer the samples that can be read, are no repeats and not completed.

        Args:
            batch: The samples.
            current: Their set.
            needs: What the batch must have beside the images.

        Returns:
            :class:`Predictions`, or None where nothing is left.
        """
        current.task.check(batch, current.name, needs)
        could = batch.pop("readable", None)
        taken = current.take(batch_size(batch), _plain(batch.get("key")), _plain(could))
        if not taken:
            return None
        batch = select(batch, [row for row, _ in taken])
        images = current.task.question(batch).images_of_samples
        digests = [
            _digest(sample, current.task.truth(batch, row)) for row, sample in enumerate(images)
        ]
        new = current.left([key for _, key in taken], digests)
        if not new:
            return None
        asked = select(batch, new)
        question = current.task.question(asked)
        prepared = current.prepared
        if question.candidates is not None:
            prepared, _ = self.prepare(question.candidates)
        self.warm_up(question.images, prepared)
        start = time.perf_counter()
        answer = self.answer(question.images, prepared, question.allowed).cpu()
        seconds = (time.perf_counter() - start) / len(new)
        columns = current.task.columns(answer, _on_cpu(asked))
        asked_of = replace(question, images=answer.evaluations).images_of_samples
        columns["evaluations"] = torch.stack([spent.sum() for spent in asked_of])
        predictions = Predictions(
            current.name,
            [taken[row][1] for row in new],
            [taken[row][0] for row in new],
            [digests[row] for row in new],
            seconds,
            columns,
            answer.table,
            answer.filling,
            question.blocks,
        )
        current.count(predictions, self.stored_columns)
        return predictions

    @property
    def _validating(self) -> bool:
        trainer = self._trainer  # the property fails without one
        return trainer is not None and bool(trainer.validating or trainer.sanity_checking)

    def on_test_epoch_end(self) -> None:
        """Report the rows of all ranks and log them as ``{set}/{metric}``."""
        self.report()

    def on_validation_epoch_end(self) -> None:
        """Report the rows of all ranks, and what they say about how scores are to be read."""
        self.report()
        for current in self.sets:
            if current.name in self.reports and current.task.fitted:
                values = current.task.fit(current.gathered())
                self.fitted = {f"{current.name}/{name}": v for name, v in values.items()}
                self._log(self.fitted)

    def on_predict_epoch_end(self) -> None:
        """Check that no image was read twice, which the test's report would tell."""
        for current in self.sets:
            if not current.sharing.certain:
                current.gathered()

    def report(self) -> None:
        """Make and log the reports of all sets, once a run: callbacks may ask for it first."""
        if self.reports:
            return
        self.reports = self.reports_of(self.sets)
        for name, report in self.reports.items():
            self._log({f"{name}/{k}": v for k, v in report.scalars().items()})

    def reports_of(self, sets: Sequence[EvaluatedSet]) -> dict[str, Report]:
        """Reports of the rows of all ranks, by set.

        Args:
            sets: The sets, evaluated.
        """
        reports: dict[str, Report] = {}
        for current in sets:
            rows = current.gathered()
            report = current.task.report(rows, current.skipped_of_all())
            if report is None:
                rank_zero_warn(f"No image of set {current.name!r} was evaluated: it has no report.")
                continue
            reports[current.name] = report
        return reports

    def _log(self, values: Mapping[str, float]) -> None:
        exact = torch.float32 if self.device.type == "mps" else torch.float64
        self.log_dict({name: torch.tensor(value, dtype=exact) for name, value in values.items()})

    def running_accuracy(self) -> float | None:
        """Accuracy of this rank so far in the set under evaluation."""
        for current in reversed(self.sets):
            if current.position:
                return current.running_accuracy()
        return None


def _plain(values: Any) -> Any:
    return values.tolist() if isinstance(values, Tensor) else values


def _digest(images: Tensor, truth: str) -> str:
    digest = hashlib.blake2b(truth.encode(), digest_size=8)
    for image in images:
        digest.update(pixel_bytes(image))
    return digest.hexdigest()


def _on_cpu(batch: Batch) -> Batch:
    return {name: v.cpu() if isinstance(v, Tensor) else v for name, v in batch.items()}
