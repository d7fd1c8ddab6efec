"""Task: what a set asks of a classifier, and how its answers are counted."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pyarrow as pa
from torch import Tensor

from diffclf_lightning.answers import Answer, Batch
from diffclf_lightning.candidates import Candidates
from diffclf_lightning.metrics import Report

COSTS = ("evaluations", "seconds", "underfilled", "repeats")
"""Columns of every row, whatever the task, that say what the sample cost."""


@dataclass(frozen=True)
class Question:
    """What is asked of some samples.

    Args:
        images: Images, as many of each sample, those of a sample behind each other.
        candidates: What to choose among. Defaults to None: the candidates of the set.
        allowed: Candidates of each image, bool, shape ``(images, candidates)``. Defaults to None:
            all.
    """

    images: Tensor
    candidates: Candidates | None = None
    allowed: Tensor | None = None


@dataclass(frozen=True)
class Asked:
    """What a classifier chooses among, and how its scores are read.

    Args:
        candidates: Its candidates, before a set restricts them.
        classnames: Class names in the order of labels. Defaults to None: labels have no names.
        temperature: Factor on scores in probabilities.
        calibrated: Whether that was fitted, so that probabilities mean something.
        metric: Name of the metric that is published for the data.
    """

    candidates: Candidates
    classnames: Sequence[str] | None = None
    temperature: float = 1.0
    calibrated: bool = True
    metric: str = "accuracy"


class Task(ABC):
    """What a set asks, and how its answers are counted.

    A task makes one row of every sample; its report is a pure function of rows.
    """

    schema: ClassVar[pa.Schema]
    """Columns of a row."""
    measured: ClassVar[Sequence[str]]
    """Those that reports are made of."""
    fitted: ClassVar[Sequence[str]] = ()
    """Those that :meth:`fit` takes."""
    brings_candidates: ClassVar[bool] = False
    """Whether every sample has candidates of its own."""

    def bind(self, asked: Asked) -> Self:
        """The task for the sets of one run.

        Args:
            asked: What the classifier chooses among, and how its scores are read.

        Returns:
            The task itself, or a copy.

        Raises:
            InputError: If the task does not fit.
        """
        return self

    def of_set(self, dataset: Any, set_name: str) -> Self:
        """The task for the samples of one data set, checked as far as can be without reading them.

        Args:
            dataset: The data set, or None.
            set_name: Name of the set.

        Returns:
            The task itself, or a copy.
        """
        return self

    def describe(self) -> dict[str, Any]:
        """What of the task decides results, as plain values."""
        return {"task": type(self).__name__}

    @abstractmethod
    def check(self, batch: Batch, set_name: str, needs: Sequence[str] = ()) -> None:
        """Refuse samples that cannot be asked, before they are evaluated.

        Args:
            batch: What a loader gives, as a mapping.
            set_name: Name of the set.
            needs: What it must have beside the images: the truth, but for prediction.

        Raises:
            InputError: If a sample is not what the task needs.
        """

    @abstractmethod
    def question(self, batch: Batch) -> Question:
        """What is asked of the samples of a batch."""

    def truth(self, batch: Batch, row: int) -> str:
        """Whatever beside the images identifies a sample of a batch."""
        return ""

    @abstractmethod
    def columns(self, answer: Answer, batch: Batch) -> dict[str, Any]:
        """Columns of the rows of some samples: tensors, lists, or mappings of such by name.

        Args:
            answer: The answer for the images of :meth:`question`.
            batch: The samples.

        Returns:
            A value of each sample for every column of :attr:`schema`; None where nothing is known.
        """

    @abstractmethod
    def right(self, columns: dict[str, Any]) -> Tensor | None:
        """Which samples are answered rightly, bool, or None where the truth is not known."""

    @abstractmethod
    def report(self, rows: pa.Table, skipped: int) -> Report | None:
        """What was measured.

        Args:
            rows: Rows with the columns :attr:`measured` and ``COSTS``, each sample once.
            skipped: Number of samples that could not be read.

        Returns:
            The report, or None without rows.
        """

    def fit(self, rows: pa.Table) -> dict[str, float]:
        """What held-out rows say about how scores are to be read.

        Args:
            rows: Rows with the columns :attr:`fitted`.

        Returns:
            Fitted values by name.
        """
        return {}
