r"""Two models on the same images: which of them is right where.

Of ``n`` images ``b`` are right by the first model alone and ``c`` by the second alone. Under equal
accuracies each of these b + c is as likely on either side (McNemar 1947), and their difference of
accuracies is (b - c) / n.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics.intervals import Interval


@dataclass(frozen=True)
class PairedCounts:
    """Numbers of images by who is right.

    Args:
        both: Right by both models.
        first: Right by the first alone.
        second: Right by the second alone.
        neither: Right by neither.

    Raises:
        InputError: If a number is negative or there are no images.

    Example:
        >>> counts = PairedCounts(both=43, first=0, second=1, neither=0)
        >>> counts.p_value, f"{counts.difference:.3f}"
        (1.0, '-0.023')
    """

    both: int
    first: int
    second: int
    neither: int

    def __post_init__(self) -> None:
        numbers = self.both, self.first, self.second, self.neither
        if min(numbers) < 0 or not any(numbers):
            raise InputError(
                f"Expected four numbers of images from 0, not all 0, but got {numbers}."
            )

    @classmethod
    def of(cls, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> "PairedCounts":
        """Count images.

        Args:
            first: Which images the first model has right, shape ``(images,)``.
            second: The same of the second model.
        """
        return cls(
            int((first & second).sum()),
            int((first & ~second).sum()),
            int((~first & second).sum()),
            int((~first & ~second).sum()),
        )

    @property
    def total(self) -> int:
        """Number of images."""
        return self.both + self.first + self.second + self.neither

    @property
    def difference(self) -> float:
        """Accuracy of the first model less that of the second."""
        return (self.first - self.second) / self.total

    @property
    def p_value(self) -> float:
        """McNemar's exact two-sided p-value, binomial on the images that one alone has right."""
        fewer = min(self.first, self.second)
        return min(1.0, 2 * float(bdtr(fewer, self.first + self.second, 0.5)))

    def interval(self, alpha: float = 0.05) -> Interval:
        """Score interval of the difference (Tango 1998), which is never of no width.

        Args:
            alpha: One minus the confidence.
        """
        from scipy.optimize import brentq  # slow to import

        n, b, c, z = self.total, self.first, self.second, float(ndtri(1 - alpha / 2))

        def excess(difference: float) -> float:
            """Squared distance to a difference less z² times its variance there, both times n²."""
            linear = (2 * n - b + c) * difference - b - c
            product = -c * difference * (1 - difference)
            second = (max(linear**2 - 8 * n * product, 0) ** 0.5 - linear) / (4 * n)
            variance = n * (2 * second + difference * (1 - difference))
            return float((b - c - n * difference) ** 2 - z**2 * variance)

        seen, apart = self.difference, 1e-12  # the variance may vanish at what was seen itself
        lower = -1.0 if c == n else brentq(excess, -1, seen - apart, xtol=apart)
        upper = 1.0 if b == n else brentq(excess, seen + apart, 1, xtol=apart)
        return Interval(float(lower), float(upper))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of several tests, so that the chance of one wrong claim is kept.

    Args:
        p_values: Of each test.

    Returns:
        Adjusted ones (Holm 1979), in the same order.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted
