"""Correct and total, and the accuracy that they are."""

from dataclasses import dataclass

from diffclf_lightning.metrics.intervals import Interval, clopper_pearson


@dataclass(frozen=True)
class Count:
    """Numbers of correct images and of all."""

    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """Share of correct images."""
        return self.correct / self.total

    @property
    def interval(self) -> Interval:
        """99.5% Clopper-Pearson interval of the accuracy."""
        return clopper_pearson(self.correct, self.total)
