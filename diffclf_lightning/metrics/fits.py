r"""Fits of out-of-distribution accuracy on in-distribution accuracy, by least squares.

Symbols: ``id`` and ``ood`` are accuracies in [0, 1]; :math:`x = s(id)` and :math:`y = s(ood)` the
same on a scale.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from diffclf_lightning.metrics.intervals import Interval
from diffclf_lightning.metrics.scales import Scale

Values = NDArray[np.float64]
ROUND_OFF = 1e-20
SAME = 1e-9
"""Accuracies closer than this are one: percentages are not exact in binary."""


@dataclass(frozen=True)
class LeastSquares:
    r"""Solution of :math:`\min \sum w (y - X \beta)^2`.

    Args:
        coefficients: :math:`\beta`, shape ``(terms,)``.
        inverse: :math:`(X^T W X)^{-1}`, shape ``(terms, terms)``.
        r_squared: Share of the variance about the mean that is explained; 0 where there is none.
        degrees: Degrees of freedom, number of points less terms.
        residual_sd: Residual standard deviation; none without degrees of freedom.
    """

    coefficients: Values
    inverse: Values
    r_squared: float
    degrees: int
    residual_sd: float | None

    @classmethod
    def solve(cls, design: Values, y: Values, weights: Values | None = None) -> "LeastSquares":
        """Solve.

        Args:
            design: X, shape ``(points, terms)``, of full rank.
            y: Shape ``(points,)``.
            weights: Weight of each point; 1 when not given.

        Returns:
            The solution.
        """
        w = np.ones_like(y) if weights is None else weights
        inverse = np.linalg.inv(design.T @ (w[:, None] * design))
        coefficients = inverse @ (design.T @ (w * y))
        residual = float(w @ (y - design @ coefficients) ** 2)
        total = float(w @ (y - np.average(y, weights=w)) ** 2)
        degrees = len(y) - design.shape[1]
        sd = float(np.sqrt(residual / degrees)) if degrees else None
        flat = total <= ROUND_OFF * float(w @ y**2)
        r_squared = 0.0 if flat else 1 - residual / total
        return cls(np.asarray(coefficients), np.asarray(inverse), r_squared, degrees, sd)

    def standard_error(self, row: Values) -> float | None:
        """Standard error of the mean at a row of X; none without degrees of freedom."""
        if self.residual_sd is None:
            return None
        return self.residual_sd * float(np.sqrt(row @ self.inverse @ row))


class Fit(ABC):
    """A fitted relation of the two accuracies."""

    scale: Scale

    @abstractmethod
    def piece(self, id: float) -> "Piece":
        """The part of the fit that is used at an accuracy."""

    @property
    @abstractmethod
    def pieces(self) -> "dict[str, Piece]":
        """The parts of the fit by name."""

    def predict(self, id: float) -> float:
        """Predicted out-of-distribution accuracy, :math:`s^{-1}(a + b s(id))`.

        From 0 to 1, but on the linear scale, which does not keep to it.
        """
        return self.piece(id).predict(id)

    def scaled_predictions(self, id: Sequence[float]) -> Values:
        """Predictions for several accuracies, on the scale, shape ``(points,)``."""
        return np.concatenate([self.piece(value).scaled_predictions([value]) for value in id])


@dataclass(frozen=True)
class Piece(Fit):
    """One least-squares fit over a range of in-distribution accuracies.

    Args:
        scale: The scale.
        solution: Coefficients of :meth:`design`'s columns.
        lowest: Lowest in-distribution accuracy that was fitted.
        highest: Highest one.
        knot: Accuracy at which the slope changes; a straight line when none.
    """

    scale: Scale
    solution: LeastSquares
    lowest: float
    highest: float
    knot: float | None = None

    def piece(self, id: float) -> "Piece":
        """See :meth:`Fit.piece`."""
        return self

    @property
    def pieces(self) -> "dict[str, Piece]":
        """See :attr:`Fit.pieces`."""
        return {"": self}

    @property
    def count(self) -> int:
        """Number of points."""
        return self.solution.degrees + len(self.solution.coefficients)

    @property
    def intercept(self) -> float:
        """Scaled accuracy at a scaled in-distribution accuracy of 0; of a hinge, at its knot."""
        return float(self.solution.coefficients[0])

    @property
    def slope(self) -> float:
        """Slope between scaled accuracies; of a hinge, below its knot."""
        return float(self.solution.coefficients[1])

    @property
    def r_squared(self) -> float:
        """Share of the variance of the scaled accuracy that is explained."""
        return self.solution.r_squared

    def slope_at(self, id: float) -> float:
        """Slope at an accuracy."""
        return float(self.solution.coefficients[2 if self._above(id) else 1])

    def predict(self, id: float) -> float:
        """See :meth:`Fit.predict`."""
        return float(self.scale.inverse(self.scaled_predictions([id]))[0])

    def scaled_predictions(self, id: Sequence[float]) -> Values:
        """See :meth:`Fit.scaled_predictions`."""
        values: Values = design_matrix(self.scale, id, self.knot) @ self.solution.coefficients
        return values

    def standard_error(self, id: float) -> float | None:
        """Standard error of the scaled prediction; none without degrees of freedom."""
        return self.solution.standard_error(self._row(id))

    def mean_interval(self, id: float, alpha: float = 0.05) -> Interval | None:
        """Confidence interval of the fitted mean; none without degrees of freedom."""
        return self._interval(id, alpha, 0.0)

    def prediction_interval(self, id: float, alpha: float = 0.05) -> Interval | None:
        """Interval for one more model; none without degrees of freedom."""
        return self._interval(id, alpha, self.solution.residual_sd or 0.0)

    def extrapolates(self, id: float) -> bool:
        """Whether an accuracy is outside of those that were fitted."""
        return not self.lowest <= id <= self.highest

    def _interval(self, id: float, alpha: float, spread: float) -> Interval | None:
        error = self.standard_error(id)
        if error is None:
            return None
        width = student.ppf(1 - alpha / 2, self.solution.degrees) * np.hypot(error, spread)
        middle = self._row(id) @ self.solution.coefficients
        low, high = self.scale.inverse(np.array([middle - width, middle + width]))
        return Interval(float(low), float(high))

    def _row(self, id: float) -> Values:
        row: Values = design_matrix(self.scale, [id], self.knot)[0]
        return row

    def _above(self, id: float) -> bool:
        return self.knot is not None and id > self.knot


@dataclass(frozen=True)
class BrokenLine(Fit):
    """Two independent lines.

    Args:
        below: Line of the models strictly below the break; predicts up to and at it.
        above: Line of those strictly above.
        at: The break, an in-distribution accuracy.
    """

    below: Piece
    above: Piece
    at: float

    @property
    def scale(self) -> Scale:  # type: ignore[override]
        """The scale of both."""
        return self.below.scale

    def piece(self, id: float) -> Piece:
        """See :meth:`Fit.piece`."""
        return self.below if id <= self.at + SAME else self.above

    @property
    def pieces(self) -> dict[str, Piece]:
        """See :attr:`Fit.pieces`."""
        return {"below": self.below, "above": self.above}


def design_matrix(scale: Scale, id: ArrayLike, knot: float | None) -> Values:
    """Rows of X for in-distribution accuracies.

    Args:
        scale: The scale.
        id: Accuracies, shape ``(points,)``.
        knot: Accuracy at which the slope changes; a straight line when none.

    Returns:
        Shape ``(points, 2)``, or ``(points, 3)`` with a knot.
    """
    x = scale(id)
    if knot is None:
        return np.stack([np.ones_like(x), x], axis=1)
    distance = x - scale(knot)
    return np.stack([np.ones_like(x), distance.clip(max=0), distance.clip(min=0)], axis=1)
