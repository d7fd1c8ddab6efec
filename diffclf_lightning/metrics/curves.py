"""Curves: the form of a fit of out-of-distribution on in-distribution accuracy."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics.accuracy import as_fractions
from diffclf_lightning.metrics.fits import (
    SAME,
    BrokenLine,
    Fit,
    LeastSquares,
    Piece,
    Values,
    design_matrix,
)
from diffclf_lightning.metrics.scales import Logit, Scale


class Curve(ABC):
    """The form of a fit."""

    scale: Scale

    @abstractmethod
    def fit(
        self, id: Sequence[float], ood: Sequence[float], weights: ArrayLike | None = None
    ) -> Fit:
        """Fit by least squares, without weights as published.

        Args:
            id: In-distribution accuracies, fractions or percent, at least two different ones.
            ood: Out-of-distribution accuracies of the same models, in the same unit.
            weights: Weight of each model; 1 when not given.

        Returns:
            The fit.

        Raises:
            InputError: If there are too few models, none differs from the others, units are
                mixed, or an accuracy is infinite on the scale.
        """


@dataclass(frozen=True)
class Straight(Curve):
    """One line."""

    scale: Scale = field(default_factory=Logit)

    def fit(
        self, id: Sequence[float], ood: Sequence[float], weights: ArrayLike | None = None
    ) -> Piece:
        """See :meth:`Curve.fit`."""
        x, y = as_fractions(id, ood)
        return _fit(self.scale, x, y, _weights(weights, x))


@dataclass(frozen=True)
class Broken(Curve):
    """Two independent lines with a break between them (ImageNet-A, Taori et al. 2020).

    Args:
        at: The break, an in-distribution accuracy from 0 to 1; a model at it is in neither line.
        scale: The scale.
    """

    at: float
    scale: Scale = field(default_factory=Logit)

    def fit(
        self, id: Sequence[float], ood: Sequence[float], weights: ArrayLike | None = None
    ) -> BrokenLine:
        """See :meth:`Curve.fit`."""
        x, y = as_fractions(id, ood)
        w = _weights(weights, x)
        sides = {}
        for name, side in (("below", x < self.at - SAME), ("above", x > self.at + SAME)):
            where = f" {name} the break at {self.at:g}"
            sides[name] = _fit(self.scale, x[side], y[side], w[side], where=where)
        return BrokenLine(sides["below"], sides["above"], self.at)


@dataclass(frozen=True)
class Hinged(Curve):
    """Two lines that meet at a break.

    Args:
        at: Where they meet, an in-distribution accuracy from 0 to 1.
        scale: The scale.
    """

    at: float
    scale: Scale = field(default_factory=Logit)

    def fit(
        self, id: Sequence[float], ood: Sequence[float], weights: ArrayLike | None = None
    ) -> Piece:
        """See :meth:`Curve.fit`."""
        x, y = as_fractions(id, ood)
        for name, side in (("below", x < self.at), ("above", x > self.at)):
            if not side.any():
                raise InputError(
                    f"Expected at least one baseline {name} the break at {self.at:g}, but got "
                    "none. Add baselines there, or fit one line."
                )
        return _fit(self.scale, x, y, _weights(weights, x), knot=self.at)


def _fit(
    scale: Scale,
    id: Values,
    ood: Values,
    weights: Values,
    knot: float | None = None,
    where: str = "",
) -> Piece:
    terms = 2 if knot is None else 3
    if len(id) < terms:
        raise InputError(
            f"Expected at least {terms} baselines{where}, but got {len(id)}. Add baselines there."
        )
    design = design_matrix(scale, id, knot)
    if np.linalg.matrix_rank(design) < terms:
        different = sorted(set(id.tolist()))
        raise InputError(
            f"Expected baselines of {terms} different in-distribution accuracies{where}, but the "
            f"{len(id)} have {', '.join(f'{value:g}' for value in different)}. Add weaker or "
            "stronger ones."
        )
    solution = LeastSquares.solve(design, scale(ood), weights)
    return Piece(scale, solution, float(id.min()), float(id.max()), knot)


def _weights(weights: ArrayLike | None, like: Values) -> Values:
    if weights is None:
        return np.ones_like(like)
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != like.shape or not (np.isfinite(values) & (values > 0)).all():
        raise InputError(
            f"Expected argument `weights` to have {len(like)} finite values above 0, one a "
            f"baseline, but got {values.tolist()}."
        )
    return values
