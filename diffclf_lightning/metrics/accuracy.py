"""An accuracy with the number of images behind it, and the guard against mixed units."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics.intervals import Interval, check_counts, clopper_pearson


@dataclass(frozen=True)
class Accuracy:
    """Share of correct images.

    Args:
        value: The share, from 0 to 1.
        total: Number of images; none where only the share is known.

    Raises:
        InputError: If ``value`` is no share, or ``total`` below 1.
    """

    value: float
    total: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1 or (self.total is not None and self.total < 1):
            raise InputError(
                f"Expected an accuracy from 0 to 1 and at least one image, but got "
                f"value={self.value} and total={self.total}. Divide percent by 100."
            )

    @classmethod
    def of(cls, correct: int, total: int) -> "Accuracy":
        """From counts.

        Args:
            correct: Number of correct images.
            total: Number of images.

        Returns:
            The accuracy.

        Raises:
            InputError: If the counts are impossible.
        """
        check_counts(correct, total)
        return cls(correct / total, total)

    @property
    def correct(self) -> int | None:
        """Number of correct images; none where the total is not known."""
        return None if self.total is None else round(self.value * self.total)

    @property
    def interval(self) -> Interval | None:
        """99.5% Clopper-Pearson interval; none where the total is not known."""
        if self.total is None or self.correct is None:
            return None
        return clopper_pearson(self.correct, self.total)

    @property
    def variance(self) -> float | None:
        """Binomial variance of the share; none where the total is not known."""
        return None if self.total is None else self.value * (1 - self.value) / self.total

    @property
    def is_extreme(self) -> bool:
        """Whether it is 0 or 1, where logit and probit are infinite."""
        return self.value in (0, 1)

    @property
    def smoothed(self) -> "Accuracy":
        """Half an image added on either side (Haldane-Anscombe), which is never 0 or 1.

        Its logit is ``ln((k + 1/2) / (n - k + 1/2))``.

        Raises:
            InputError: If the total is not known.
        """
        if self.total is None or self.correct is None:
            raise InputError(
                f"Expected the number of images of an accuracy of {self.value} that is to be "
                "smoothed, but got none. Give counts, or leave such models out."
            )
        return Accuracy((self.correct + 0.5) / (self.total + 1), self.total)


def as_fractions(*columns: Iterable[float]) -> list[NDArray[np.float64]]:
    """Accuracies as fractions, whether they came as fractions or as percent.

    A value above 1 means percent. Then no value may lie between 0 and 1, since it could be either.

    Args:
        *columns: Accuracies that share a unit.

    Returns:
        The same as fractions, float64.

    Raises:
        InputError: If units are mixed, or a value is outside of 0 to 100 or not finite.

    Example:
        >>> [column.tolist() for column in as_fractions([50.0, 75.0], [0.0, 25.0])]
        [[0.5, 0.75], [0.0, 0.25]]
    """
    arrays = [np.asarray(list(column), dtype=np.float64) for column in columns]
    values = np.concatenate(arrays)
    wrong = values[~((values >= 0) & (values <= 100))]
    if len(wrong):
        raise InputError(
            f"Expected accuracies from 0 to 1, or 0 to 100 percent, but got {wrong[0]}."
        )
    percent, small = values[values > 1], values[(values > 0) & (values <= 1)]
    if len(percent) and len(small):
        raise InputError(
            f"Expected accuracies all in percent or all as fractions, but got {small[0]:g} beside "
            f"{percent[0]:g}. Give all as fractions (an accuracy of {small[0]:g} percent is "
            f"{small[0] / 100:g})."
        )
    return [array / 100 for array in arrays] if len(percent) else arrays
