"""An accuracy with the number of images behind it."""

from dataclasses import dataclass

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics.intervals import Interval, check_counts, clopper_pearson


@dataclass(frozen=True)
class Accuracy:
    """Share of correct images.

    Args:
        value: The share, from 0 to 1.
        total: Number of images. Defaults to None: only the share is known.

    Raises:
        InputError: If ``value`` is no share, or ``total`` is below 1.

    Example:
        >>> accuracy = Accuracy.of(correct=497, total=500)
        >>> accuracy.value, accuracy.correct, round(accuracy.interval.lower, 3)
        (0.994, 497, 0.976)
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
        """The accuracy of ``correct`` images out of ``total``.

        Raises:
            InputError: If not ``0 <= correct <= total`` with ``total`` at least 1.
        """
        check_counts(correct, total)
        return cls(correct / total, total)

    @property
    def correct(self) -> int | None:
        """Number of correct images; None where the total is not known."""
        return None if self.total is None else round(self.value * self.total)

    @property
    def interval(self) -> Interval | None:
        """99.5% Clopper-Pearson interval; None where the total is not known."""
        if self.total is None or self.correct is None:
            return None
        return clopper_pearson(self.correct, self.total)

    @property
    def variance(self) -> float | None:
        """Binomial variance of the share; None where the total is not known."""
        return None if self.total is None else self.value * (1 - self.value) / self.total
