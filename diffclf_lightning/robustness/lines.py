r"""Lines of out-of-distribution on in-distribution accuracy, and what a model has beyond them.

Symbols: ``id`` and ``ood`` are accuracies in [0, 1]; x and y are the same on a scale. A line
predicts p from ``id``; the effective robustness of a model (Taori et al. 2020) is ood - p. The
variance of that, from the binomial variances of both accuracies and the standard error of the
line, is

.. math:: \frac{ood (1 - ood)}{n_{ood}} + g^2 \frac{id (1 - id)}{n_{id}} + (p' \, se)^2,
   \qquad g = b \, p' / id'

with the slope b of the line and the derivatives p' and id' of both accuracies by their scaled
values, p (1 - p) for logit.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import linregress
from scipy.stats import t as student

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Accuracy, Interval
from diffclf_lightning.robustness.scales import LOGIT, Scale, Values

ALPHA_95 = 0.05
"""One minus the confidence of effective robustness, of predictions and of bands."""
SAME = 1e-9
"""Accuracies closer than this are one: percentages are not exact in binary."""
BAND_POINTS, REPEATS = 60, 1000
AT_ONCE = 2**22
"""Families that are drawn at once, over all resamples: what bounds the memory."""
ROUNDING = 1e-12
"""Share of a mean square below which a variance is rounding."""


@dataclass(frozen=True)
class Band:
    """95% bootstrap band of a line, on its scale, each array of shape ``(points,)``.

    From ``lower`` to ``upper`` at in-distribution accuracies ``x``, even over the baselines;
    ``degenerate`` resamples gave no line, and are left out.
    """

    x: Values
    lower: Values
    upper: Values
    degenerate: int


class Line:
    """An unweighted least-squares line of y on x (Taori et al. 2020).

    Args:
        id: In-distribution accuracies of the baselines, from 0 to 1.
        ood: Their out-of-distribution accuracies.
        scale: The scale of both axes.
        where: Where the baselines lie, for messages.

    Attributes:
        slope: Of the line between scaled accuracies.
        intercept: Of the same line.
        r_squared: Share of the variance of y that is explained; 0 where there is none.
        count: Number of baselines.
        lowest: Lowest of their in-distribution accuracies.
        highest: Highest of them.

    Raises:
        InputError: If there are fewer than two different in-distribution accuracies, or an accuracy
            is infinite on the scale.

    Example:
        >>> line = Line([0.6, 0.7, 0.8], [0.5, 0.6, 0.7])
        >>> f"{line.slope:.3f} {line.predict(0.75):.3f}"
        '0.862 0.647'
    """

    def __init__(
        self, id: ArrayLike, ood: ArrayLike, scale: Scale = LOGIT, where: str = ""
    ) -> None:
        self.x, self.y, self.scale, self.count = scale(id), scale(ood), scale, np.size(id)
        if self.count < 2:
            raise InputError(
                f"Expected at least 2 baselines{where}, but got {self.count}. Add baselines there."
            )
        self.lowest, self.highest = float(np.min(id)), float(np.max(id))
        if np.ptp(self.x) <= SAME:
            raise InputError(
                f"Expected baselines of 2 different in-distribution accuracies{where}, but the "
                f"{self.count} have {self.lowest:g}. Add weaker or stronger ones."
            )
        found = linregress(self.x, self.y)
        self.slope, self.intercept = float(found.slope), float(found.intercept)
        self.r_squared = float(found.rvalue**2) if np.ptp(self.y) > SAME else 0.0
        self.slope_error = float(found.stderr) if self.count > 2 else None
        self.pieces = {"": self}

    @property
    def residual_sd(self) -> float | None:
        """Residual standard deviation of y; None with two baselines."""
        error = self.slope_error
        return None if error is None else float(error * self.x.std() * self.count**0.5)

    def piece(self, id: float) -> "Line":
        """The line that predicts at an accuracy: itself."""
        return self

    def predict(self, id: float) -> float:
        """Predicted out-of-distribution accuracy; the linear scale may leave [0, 1]."""
        return float(self.scale.inverse(self.intercept + self.slope * self.scale(id)))

    def standard_error(self, id: float) -> float | None:
        """Standard error of the scaled prediction; None with two baselines."""
        distance = float(np.hypot(self.x.std(), self.scale(id) - self.x.mean()))
        return None if self.slope_error is None else self.slope_error * distance

    def prediction_interval(self, id: float) -> Interval | None:
        """95% interval for the accuracy of one more model; None with two baselines."""
        error, sd = self.standard_error(id), self.residual_sd
        if error is None or sd is None:
            return None
        width = student.ppf(1 - ALPHA_95 / 2, self.count - 2) * np.hypot(error, sd)
        middle = self.intercept + self.slope * self.scale(id)
        low, high = self.scale.inverse(np.array([middle - width, middle + width]))
        return Interval(float(low), float(high))

    def band(self, families: Sequence[Hashable], repeats: int = REPEATS, seed: int = 0) -> Band:
        """Bootstrap band, by drawing whole families of baselines with replacement.

        Models of one family are alike (sizes of one architecture, seeds of one recipe): drawing
        them one by one would make the band too narrow. ``families`` has that of each baseline.

        Raises:
            InputError: If there are fewer than two families, or no resample gives a line.
        """
        numbers = {family: number for number, family in enumerate(dict.fromkeys(families))}
        if (size := len(numbers)) < 2:
            raise InputError(
                "Expected baselines of at least two families for a bootstrap band, but got "
                f"{size}. Name their families apart."
            )
        total, x, y, xx, xy = self._resampled(
            [numbers[family] for family in families], repeats, seed
        )
        mean, spread = x / total, xx / total
        variance = spread - mean**2
        kept = variance > SAME**2 + ROUNDING * spread  # of one x alone it is not quite zero
        if not kept.any():
            raise InputError(
                f"Expected baselines of which at least one of {repeats} resamples can be fitted, "
                "but got none. Add baselines of other families."
            )
        slope = (xy / total - mean * y / total)[kept, None] / variance[kept, None]
        at = np.linspace(self.x.min(), self.x.max(), BAND_POINTS)
        away = at - self.x.mean() - mean[kept, None]
        y = self.y.mean() + (y / total)[kept, None] + slope * away
        lower, upper = np.quantile(y, [ALPHA_95 / 2, 1 - ALPHA_95 / 2], axis=0)
        return Band(at, lower, upper, int((~kept).sum()))

    def _resampled(self, family: Sequence[int], repeats: int, seed: int) -> Values:
        """Sums of 1, x, y, x^2 and x y, off their means, over each resample of families.

        Returns:
            Shape ``(5, repeats)``.
        """
        x, y, size = self.x - self.x.mean(), self.y - self.y.mean(), max(family) + 1
        moments = np.stack([np.bincount(family, w) for w in (x**0, x, y, x * x, x * y)], axis=1)
        random, sums = np.random.default_rng(seed), np.empty((5, repeats))
        at_once = max(1, AT_ONCE // size)
        for first in range(0, repeats, at_once):
            drawn = random.integers(size, size=(min(at_once, repeats - first), size))
            times = np.stack([np.bincount(resample, minlength=size) for resample in drawn])
            sums[:, first : first + len(drawn)] = (times @ moments).T
        return sums


class PiecewiseLinear:
    """Two independent lines with a break between them (ImageNet-A, Taori et al. 2020).

    The line of the baselines strictly below predicts up to and at the break, that of those strictly
    above beyond it; a baseline at the break is in neither. Both are in ``pieces``, as ``below`` and
    ``above``. The break ``at`` is an in-distribution accuracy from 0 to 1; for all else see
    :class:`Line`.
    """

    def __init__(self, id: ArrayLike, ood: ArrayLike, at: float, scale: Scale = LOGIT) -> None:
        x, y, self.at = np.asarray(id), np.asarray(ood), at
        sides = {"below": x < at - SAME, "above": x > at + SAME}
        self.pieces = {
            name: Line(x[side], y[side], scale, f" {name} the break at {at:g}")
            for name, side in sides.items()
        }

    def piece(self, id: float) -> Line:
        """The line that predicts at an accuracy."""
        return self.pieces["below" if id <= self.at + SAME else "above"]


Fit = Line | PiecewiseLinear


@dataclass(frozen=True)
class Robustness:
    """Effective robustness of a model; as text in points, for instance ``+1.5 [-0.2, +3.2]``.

    Args:
        effective: Accuracy beyond the prediction, a difference of fractions.
        predicted: Out-of-distribution accuracy that the baselines' line gives.
        standard_error: Of ``effective``; None where a number of images is not known, or the line
            has two baselines.
        extrapolates: Whether the prediction leaves the range of the baselines.
    """

    effective: float
    predicted: float
    standard_error: float | None
    extrapolates: bool

    @property
    def interval(self) -> Interval | None:
        """95% interval of the effective robustness, normal."""
        if self.standard_error is None:
            return None
        width = float(ndtri(1 - ALPHA_95 / 2)) * self.standard_error
        return Interval(self.effective - width, self.effective + width)

    def __str__(self) -> str:
        # No minus before a zero; but the sign of a bound says whether the interval holds zero.
        points = 0.0 if abs(self.effective) < 5e-4 else 100 * self.effective
        if self.interval is None:
            return f"{points:+.1f} [unknown]"
        return f"{points:+.1f} [{100 * self.interval.lower:+.1f}, {100 * self.interval.upper:+.1f}]"


def effective_robustness(fit: Fit, id: Accuracy, ood: Accuracy) -> Robustness:
    """Effective robustness of a model with accuracies ``id`` and ``ood`` against baselines.

    Raises:
        InputError: If the in-distribution accuracy is infinite on the fit's scale.

    Example:
        >>> line = Line(id=[0.6, 0.7, 0.8], ood=[0.5, 0.6, 0.7])
        >>> print(effective_robustness(line, Accuracy.of(750, 1000), Accuracy.of(690, 1000)))
        +4.3 [+0.2, +8.3]
    """
    line, standard_error = fit.piece(id.value), None
    predicted, error = line.predict(id.value), line.standard_error(id.value)
    if error is not None and id.variance is not None and ood.variance is not None:
        steepness = float(line.scale.derivative(predicted))
        gain = line.slope * steepness / float(line.scale.derivative(id.value))
        variance = ood.variance + gain**2 * id.variance + (steepness * error) ** 2
        standard_error = float(variance**0.5)
    extrapolates = not line.lowest <= id.value <= line.highest
    return Robustness(ood.value - predicted, predicted, standard_error, extrapolates)
