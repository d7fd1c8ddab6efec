"""What was measured on a set: a pure function of its rows."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import binary_calibration_error

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics.accuracy import Accuracy
from diffclf_lightning.metrics.intervals import Interval

TOP_K = 5
BINS = 15


class Report(ABC):
    """What was measured on a set."""

    skipped: int
    """Number of samples that could not be read."""
    underfilled_share: float | None = None
    """Share of evaluations in forward passes less than half full; None where not counted."""

    @abstractmethod
    def scalars(self) -> dict[str, float]:
        """Values to log, by name."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Plain values to store."""

    @abstractmethod
    def cells(self) -> list[dict[str, str]]:
        """Rows of a table, each by the heading of its columns; the first is the set's own.

        The entry without a heading names a row beside the set's own.
        """

    @property
    @abstractmethod
    def headline(self) -> str:
        """What was measured, in a few words."""

    @property
    @abstractmethod
    def notes(self) -> list[str]:
        """What a reader of the table has to know."""


@contextmanager
def stored_report() -> Iterator[None]:
    """Within, a report is made of what was stored; an InputError says what is wrong with that."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"Expected the stored report of a set, but got {type(error).__name__}: {error}. "
            "Run `diffclf test` again."
        ) from error


@dataclass(frozen=True)
class ClassificationReport(Report):
    """What was measured on a set of labelled images; shares are fractions, times in seconds."""

    count: Accuracy
    mean_per_class_accuracy: float
    top5_accuracy: float | None
    calibration_error: float
    negative_log_likelihood: float
    evaluations: int
    evaluations_per_image: float
    seconds_per_image: float
    evaluations_per_second: float
    """Of one device, while it evaluates."""
    underfilled_share: float | None = None
    padded_share: float | None = None
    """Share of the rows of forward passes that only fill them up; None where not counted."""
    skipped: int = 0
    metric: str = "accuracy"
    """Name of the metric that is published for the set."""
    calibrated: bool = True
    """Whether probabilities come with a fitted temperature."""
    others: dict[str, Accuracy] = field(default_factory=dict)
    """The same images by other scores, by their names."""
    recall: dict[str, float] = field(default_factory=dict)
    """How well a shortlist ranked the true labels, as :func:`shortlist_recall` gives it."""

    @classmethod
    def from_summary(cls, content: Mapping[str, Any]) -> "ClassificationReport":
        """The report that :meth:`summary` stored.

        Args:
            content: Plain values; others of :meth:`summary`'s are passed over.

        Raises:
            InputError: If a value is wanting or impossible.
        """
        named = {one.name: content[one.name] for one in fields(cls) if one.name in content}
        with stored_report():
            counts = {
                name: Accuracy.of(one["correct"], one["total"])
                for name, one in [("", content), *content.get("others", {}).items()]
            }
            recall = {k: v for k, v in content.items() if k.startswith("shortlist_recall")}
            return cls(**{**named, "count": counts.pop(""), "others": counts, "recall": recall})

    @property
    def accuracy(self) -> float:
        """Share of correct images."""
        return self.count.value

    @property
    def correct(self) -> int:
        """Number of correct images."""
        return int(self.count.correct or 0)

    @property
    def total(self) -> int:
        """Number of images."""
        return int(self.count.total or 0)

    @property
    def interval(self) -> Interval:
        """99.5% Clopper-Pearson interval of the accuracy."""
        return _interval(self.count)

    def scalars(self) -> dict[str, float]:
        values = {
            "accuracy": self.accuracy,
            "accuracy_lower": self.interval.lower,
            "accuracy_upper": self.interval.upper,
            **self._measured(),
            **{f"accuracy_{name}": count.value for name, count in self.others.items()},
        }
        return {name: value for name, value in values.items() if value is not None}

    def summary(self) -> dict[str, Any]:
        return {
            **_stored(self.count),
            **self._measured(),
            "evaluations": self.evaluations,
            "skipped": self.skipped,
            "metric": self.metric,
            "calibrated": self.calibrated,
            "others": {name: _stored(count) for name, count in self.others.items()},
        }

    def _measured(self) -> dict[str, float | None]:
        return {
            "mean_per_class_accuracy": self.mean_per_class_accuracy,
            "top5_accuracy": self.top5_accuracy,
            "calibration_error": self.calibration_error,
            "negative_log_likelihood": self.negative_log_likelihood,
            "evaluations_per_image": self.evaluations_per_image,
            "seconds_per_image": self.seconds_per_image,
            "evaluations_per_second": self.evaluations_per_second,
            **self.recall,
            "underfilled_share": self.underfilled_share,
            "padded_share": self.padded_share,
        }

    @property
    def headline(self) -> str:
        return f"{100 * self.accuracy:.1f}%, {self.correct}/{self.total}"

    def cells(self) -> list[dict[str, str]]:
        star = "*" if self.metric == "mean_per_class_accuracy" else ""
        own = {
            **_counted(self.count),
            "per\nclass %": f"{100 * self.mean_per_class_accuracy:.1f}{star}",
            "\nNLL": f"{self.negative_log_likelihood:.3f}",
            "evals\n/image": f"{self.evaluations_per_image:.0f}",
            "seconds\n/image": f"{self.seconds_per_image:.2g}",
        }
        if self.recall:
            own["kept\n%"] = f"{100 * self.recall['shortlist_recall']:.1f}"
        return [own, *({"": name, **_counted(count)} for name, count in self.others.items())]

    @property
    def notes(self) -> list[str]:
        notes = ["interval: 99.5% Clopper-Pearson; NLL: negative log-likelihood"]
        if self.metric == "mean_per_class_accuracy":
            notes.append("*: the metric that is published for the set")
        if self.recall:
            notes.append("kept: images whose true label the shortlist kept")
        if not self.calibrated:
            notes.append("not calibrated: NLL takes temperature 1 (see diffclf calibrate)")
        return notes


def classification_report(
    label: NDArray[np.int64],
    prediction: NDArray[np.int64],
    confidence: NDArray[np.float64],
    rank: NDArray[np.int64],
    negative_log_likelihood: NDArray[np.float64],
    evaluations: NDArray[np.int64],
    seconds: NDArray[np.float64],
    others: Mapping[str, NDArray[np.int64]],
    num_labels: int,
    underfilled: NDArray[np.float64] | None = None,
    repeats: NDArray[np.float64] | None = None,
    skipped: int = 0,
    metric: str = "accuracy",
    calibrated: bool = True,
    shortlisted: Mapping[str, float] | None = None,
) -> ClassificationReport:
    """Everything that is measured on labelled images, each array of shape ``(images,)``.

    Args:
        label: True labels.
        prediction: Predicted labels.
        confidence: Probability of the predicted label.
        rank: Number of labels that are thought likelier than the true one.
        negative_log_likelihood: Of the true labels, in nats.
        evaluations: Model evaluations.
        seconds: Time.
        others: Predicted labels by other scores.
        num_labels: Number of labels.
        underfilled: Evaluations in forward passes less than half full, NaN where not counted.
            Defaults to None: not counted.
        repeats: Rows that filled passes up, likewise.
        skipped: Number of images that could not be read.
        metric: Name of the metric that is published for the set.
        calibrated: Whether probabilities come with a fitted temperature.
        shortlisted: How well a shortlist ranked the true labels.

    Returns:
        The report.
    """
    right, total = prediction == label, len(label)
    support = np.bincount(label)
    recall = np.bincount(label, weights=right)[support > 0] / support[support > 0]
    calibration = binary_calibration_error(
        torch.tensor(confidence).clamp(0, 1), torch.tensor(right).int(), n_bins=BINS, norm="l1"
    )
    spent, worked = int(evaluations.sum()), float(seconds.sum())
    return ClassificationReport(
        count=Accuracy.of(int(right.sum()), total),
        mean_per_class_accuracy=float(recall.mean()),
        top5_accuracy=float((rank < TOP_K).mean()) if num_labels > TOP_K else None,
        calibration_error=float(calibration),
        negative_log_likelihood=float(negative_log_likelihood.mean()),
        evaluations=spent,
        evaluations_per_image=spent / total,
        seconds_per_image=worked / total,
        evaluations_per_second=spent / worked if worked else 0.0,
        underfilled_share=share_of(underfilled, evaluations),
        padded_share=share_of(repeats, evaluations if repeats is None else evaluations + repeats),
        skipped=skipped,
        metric=metric,
        calibrated=calibrated,
        recall=dict(shortlisted or {}),
        others={
            name: Accuracy.of(int((labels == label).sum()), total)
            for name, labels in others.items()
        },
    )


def share_of(part: NDArray[np.float64] | None, whole: NDArray[Any]) -> float | None:
    """A part of a whole, over the images of which it is known."""
    known = np.zeros(0, dtype=bool) if part is None else ~np.isnan(part)
    if part is None or not known.any():
        return None
    return float(part[known].sum() / whole[known].sum())


def _interval(count: Accuracy) -> Interval:
    return count.interval or Interval(0.0, 1.0)


def _stored(count: Accuracy) -> dict[str, Any]:
    interval = _interval(count)
    return {
        "correct": count.correct,
        "total": count.total,
        "accuracy": count.value,
        "interval": [interval.lower, interval.upper],
    }


def _counted(count: Accuracy) -> dict[str, str]:
    lower, upper = 100 * _interval(count).lower, 100 * _interval(count).upper
    return {
        "accuracy %\n(interval)": f"{100 * count.value:.1f} ({lower:.1f}-{upper:.1f})",
        "\ncorrect": f"{count.correct}/{count.total}",
    }
