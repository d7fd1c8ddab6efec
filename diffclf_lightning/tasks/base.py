"""Task: what a set asks of a classifier, and how its answers are counted."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pyarrow as pa
import torch
from torch import Tensor

from diffclf_lightning.answers import Answer, Batch
from diffclf_lightning.candidates import Candidates
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import Strategy
from diffclf_lightning.metrics import Report

COSTS = ("evaluations", "seconds", "underfilled", "repeats")
"""Columns of every row, whatever the task, that say what the sample cost."""


@dataclass(frozen=True)
class Question:
    """What is asked of some samples.

    Args:
        images: Images, those of a sample behind each other.
        candidates: What to choose among, those of a sample behind each other. Defaults to None:
            the candidates of the set.
        blocks: Number of images and of candidates of each sample, where samples bring candidates of
            their own. Defaults to None: one image a sample, and all candidates.
    """

    images: Tensor
    candidates: Candidates | None = None
    blocks: Sequence[tuple[int, int]] | None = None

    @property
    def allowed(self) -> Tensor | None:
        """Candidates of each image, bool, shape ``(images, candidates)``; None for all."""
        if self.blocks is None:
            return None
        own = [torch.ones(size, dtype=torch.bool) for size in self.blocks]
        allowed: Tensor = torch.block_diag(*own)
        return allowed.to(self.images.device)

    @property
    def images_of_samples(self) -> Sequence[Tensor]:
        """The images of each sample, of shape ``(images of it, ...)``."""
        sizes = [size for size, _ in self.blocks] if self.blocks else [1] * len(self.images)
        images: Sequence[Tensor] = self.images.split(sizes)
        return images


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
    compares_images: ClassVar[bool] = False
    """Whether scores of the images of a sample are compared with each other."""

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

    def check_strategy(self, strategy: Strategy, shortlist: object | None = None) -> None:
        """Refuse a way to choose trials that makes no sense for the task.

        Args:
            strategy: How many trials each candidate gets.
            shortlist: Which candidates get any. Defaults to None: all.

        Raises:
            InputError: If it makes none.
        """
        if self.brings_candidates and shortlist is not None:
            raise InputError(
                f"Expected no `shortlist` for {type(self).__name__}, whose samples bring few "
                f"candidates, but got {type(shortlist).__name__}. Leave it out."
            )
        if self.compares_images and strategy.prunes:
            raise InputError(
                "Expected a strategy that gives all pairs of an example the same trials for "
                f"{type(self).__name__}, but got {strategy!r}. Take Full, or Comparing, which "
                "stops early."
            )
        if strategy.decides_samples and not self.compares_images:
            raise InputError(
                f"Expected a strategy that decides about single images, but got {strategy!r}, "
                "which compares the images of an example. Take Racing."
            )

    def questions(self, dataset: Any) -> Iterator[tuple[int, Candidates]]:
        """What samples of a set ask, where they bring candidates and these are known beforehand.

        Args:
            dataset: The data set, or None.

        Yields:
            Number of images, and the candidates, of one sample after another.
        """
        yield from ()

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
