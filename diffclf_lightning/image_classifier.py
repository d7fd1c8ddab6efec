"""ImageClassifier: what all classifiers of this package share as LightningModules.

A subclass says how a set is prepared and how a batch is classified. This base gives it named
sets, one count of each image under any number of ranks, metrics, and continued runs.
"""

import hashlib
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from diffclf_lightning.candidates import merged_labels
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import pixel_bytes
from diffclf_lightning.metrics import Report, SetMetrics
from diffclf_lightning.predictions import Outcome, Predictions, Stored
from diffclf_lightning.sampling import named_loaders, sample_indices

SKIPPED = -1
"""Label of an image that could not be read and is left out."""


@dataclass
class EvaluatedSet:
    """A set under evaluation, as one rank sees it."""

    name: str
    task: Any
    """What the classifier prepared for the set."""
    evaluations_per_image: int
    metrics: SetMetrics
    indices: list[int] | None
    """Index in the data set of each image to come, -1 for a repeat; none when unknown."""
    keys: Sequence[str] | None
    rank: int
    ours: bool = False
    """Whether the data set is one of this package, which marks unreadable images."""
    candidate_labels: Sequence[int | Sequence[int]] | None = None
    """Labels that the set can hold, merged where an entry is a sequence; all when none."""
    position: int = 0

    @property
    def num_images(self) -> int | None:
        """Number of images of this rank."""
        return None if self.indices is None else len(self.indices) - self.indices.count(-1)

    def take(self, readable: Sequence[bool]) -> list[tuple[int, str]]:
        """Row and key of the images of the next batch, less repeats and unreadable ones."""
        own: list[tuple[int, str]] = []
        for row, can_be_read in enumerate(readable):
            index = self.position if self.indices is None else self.indices[self.position]
            self.position += 1
            if index >= 0 and can_be_read:
                own.append((row, self._key(index)))
            elif index >= 0:
                self.metrics.skip()
        return own

    def _key(self, index: int) -> str:
        if self.indices is None:
            return f"unordered-{self.rank}-{index}"
        return str(index) if self.keys is None else self.keys[index]


class ImageClassifier(LightningModule):
    """Base of the classifiers.

    Attributes:
        completed: Stored results of an earlier run by (set, key); these images are not
            evaluated again.
        sets: The sets of the run, known when it starts.
        reports: Reports by set name, known when it ends.
        on_evaluations: Called with the number of evaluations of every forward pass.
        other_loss_names: Names of the losses that answer too, beside the one that decides.
    """

    num_labels: int
    other_loss_names: Sequence[str] = ()

    def __init__(self) -> None:
        super().__init__()
        self.completed: Mapping[tuple[str, str], Stored] = {}
        self.sets: list[EvaluatedSet] = []
        self.reports: dict[str, Report] = {}
        self.on_evaluations: Callable[[int], None] | None = None

    @abstractmethod
    def prepare(self, classes: Sequence[int | Sequence[int]] | None) -> tuple[Any, int]:
        """Prepare for a set.

        Args:
            classes: Labels that the set can hold, merged where an entry is a sequence (see
                :meth:`Candidates.restrict`); all when none.

        Returns:
            Whatever :meth:`classify` needs, and the number of evaluations an image.
        """

    @abstractmethod
    def classify(self, images: Tensor, task: Any) -> Outcome:
        """Classify a batch.

        Args:
            images: The images of a batch.
            task: From :meth:`prepare`.

        Returns:
            The answer for every image.
        """

    def warm_up(self, images: Tensor, task: Any) -> None:
        """Whatever has to happen once and is no part of the time of an image.

        Args:
            images: The images of a batch.
            task: From :meth:`prepare`.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What decides the results, as plain values: a continued run must agree in all."""

    def on_test_start(self) -> None:
        """Prepare the sets before the first image."""
        self.begin(self.trainer.test_dataloaders, "test")

    def on_predict_start(self) -> None:
        """Prepare the sets before the first image."""
        self.begin(self.trainer.predict_dataloaders, "predict")

    def begin(self, loaders: Any, prefix: str) -> None:
        """Prepare the sets of some loaders.

        Args:
            loaders: As :attr:`Trainer.test_dataloaders` gives them.
            prefix: Name of a set that has none.
        """
        self.reports, self.sets, self.completed = {}, [], {}
        metric = getattr(getattr(self.trainer, "datamodule", None), "metric", "accuracy")
        for name, loader in named_loaders(loaders, prefix).items():
            dataset = getattr(loader, "dataset", None)
            ours = hasattr(dataset, "candidate_labels")
            classes = getattr(dataset, "candidate_labels", None)
            task, evaluations = self.prepare(classes)
            if ours:
                held = None if classes is None else set(merged_labels(classes).values())
                self.check_labels(getattr(dataset, "labels", ()), held, name)
            self.sets.append(
                EvaluatedSet(
                    name,
                    task,
                    evaluations,
                    SetMetrics(self.num_labels, metric, self._exact, self.other_loss_names).to(
                        self.device
                    ),
                    sample_indices(loader),
                    getattr(dataset, "keys", None) if ours else None,
                    self.global_rank,
                    ours,
                    classes,
                )
            )

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Classify a batch of ``(image, label)``; returns :class:`Predictions` or none."""
        images, labels = image_and_label(batch)
        return self.step(images, labels, self.sets[dataloader_idx])

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Classify a batch of images, labels or not; returns :class:`Predictions` or none."""
        images = batch[0] if isinstance(batch, Sequence) else batch
        labels = image_and_label(batch)[1] if _is_labelled(batch) else None
        return self.step(images, labels, self.sets[dataloader_idx], labelled=False)

    def step(
        self,
        images: Tensor,
        labels: Tensor | None,
        current: EvaluatedSet,
        labelled: bool = True,
    ) -> Any:
        """Classify the images of a batch that can be read, are no repeats and not yet completed."""
        readable = [True] * len(images)
        if labels is not None and (labelled or current.ours):
            readable = labels.ne(SKIPPED).tolist()
        labels = labels if labelled else None
        if labels is not None:
            self.check_labels(labels[labels != SKIPPED].tolist(), None, current.name)
        new: list[tuple[int, str]] = []
        for row, key in current.take(readable):
            stored = self.completed.get((current.name, key)) if current.indices else None
            if stored is None:
                new.append((row, key))
                continue
            _check_same(stored, images[row], None if labels is None else int(labels[row]), key)
            if labels is not None:
                self._count(current, stored.outcome, labels[row], stored.seconds)
        if not new:
            return None
        rows = [row for row, _ in new]
        self.warm_up(images, current.task)
        start = time.perf_counter()
        outcome = self.classify(images[rows], current.task).cpu()
        seconds = time.perf_counter() - start
        if labels is not None:
            labels = labels[rows].cpu()
            self._count(current, outcome, labels, seconds)
        keys = [key for _, key in new]
        digests = [_digest(images[row]) for row in rows]
        return Predictions(current.name, keys, rows, labels, digests, seconds / len(rows), outcome)

    def _count(
        self, current: EvaluatedSet, outcome: Outcome, labels: Tensor, seconds: float
    ) -> None:
        device = self.device
        current.metrics.update(
            outcome.scores.to(device),
            outcome.probabilities.to(device),
            outcome.predictions.to(device),
            labels.to(device).reshape(-1),
            outcome.evaluations.to(device),
            seconds,
            {name: answer.predictions.to(device) for name, answer in outcome.others.items()},
        )

    def on_test_epoch_end(self) -> None:
        """Gather the metrics of all ranks and log them as ``{set}/{metric}``."""
        self.report()

    def report(self) -> None:
        """Compute and log the reports of all sets, once a run: callbacks may ask for it first."""
        if self.reports:
            return
        for current in self.sets:
            report = current.metrics.compute()
            if report is None:
                rank_zero_warn(f"No image of set {current.name!r} was evaluated: it has no report.")
                continue
            self.reports[current.name] = report
            values = {f"{current.name}/{k}": v for k, v in report.scalars().items()}
            self.log_dict({k: torch.tensor(v, dtype=self._exact) for k, v in values.items()})

    @property
    def _exact(self) -> torch.dtype:
        """Double precision, where the device has it."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    def running_accuracy(self) -> float | None:
        """Accuracy of this rank so far in the set under evaluation."""
        for current in reversed(self.sets):
            if current.position:
                return current.metrics.running_accuracy()
        return None

    def readable(self, batch: Any, set_name: str) -> tuple[Tensor, Tensor]:
        """Images and labels of a batch, less the images that could not be read.

        Args:
            batch: ``(image, label)`` as a loader gives it.
            set_name: Name of the set.

        Returns:
            Images and labels.

        Raises:
            InputError: If the batch is something else, or a label has no candidate.
        """
        images, labels = image_and_label(batch)
        images, labels = images[labels != SKIPPED], labels[labels != SKIPPED]
        self.check_labels(labels.tolist(), None, set_name)
        return images, labels

    def check_labels(
        self, labels: Sequence[int], classes: Collection[int] | None, set_name: str
    ) -> None:
        """Refuse labels without a candidate.

        Args:
            labels: Labels of some images.
            classes: Labels that the set can hold; all when none.
            set_name: Name of the set.

        Raises:
            InputError: If a label is outside.
        """
        allowed = range(self.num_labels) if classes is None else classes
        for label in labels:
            if int(label) not in allowed:
                raise InputError(
                    f"Expected the labels of set {set_name!r} to be among the "
                    f"{len(allowed)} labels of the candidates"
                    f"{f' (0 to {self.num_labels - 1})' if classes is None else ''}, but got "
                    f"{label}. Check the data's class order, or give `candidates` for its labels."
                )


def image_and_label(batch: Any) -> tuple[Tensor, Tensor]:
    """The two parts of a batch.

    Args:
        batch: ``(image, label)`` as a loader gives it.

    Returns:
        Images and labels.

    Raises:
        InputError: If the batch is something else.
    """
    if _is_labelled(batch):
        images, labels = batch
        return images, labels.long()
    kinds = [type(part).__name__ for part in batch] if isinstance(batch, Sequence) else batch
    kind = kinds if isinstance(batch, Sequence) else type(batch).__name__
    raise InputError(
        "Expected batches of (image, label) with integer labels of shape (batch,), but got "
        f"{kind}. Let the data set return pairs of an image tensor and a class number."
    )


def _is_labelled(batch: Any) -> bool:
    if not isinstance(batch, Sequence) or len(batch) != 2:
        return False
    labels = batch[1]
    return isinstance(labels, Tensor) and labels.ndim == 1 and not labels.is_floating_point()


def _digest(image: Tensor) -> str:
    return hashlib.blake2b(pixel_bytes(image), digest_size=8).hexdigest()


def _check_same(stored: Stored, image: Tensor, label: int | None, key: str) -> None:
    digest = _digest(image)
    if (stored.digest, stored.label) != (digest, label):
        raise InputError(
            f"Expected image {key!r} to be the one that the folder of results holds, but got other "
            f"pixels or another label (label {stored.label} then, {label} now). The data is not "
            "that of the earlier run: choose another `results.folder`."
        )
