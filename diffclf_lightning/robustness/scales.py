r"""Scales of accuracy on which models of one kind lie along a line.

:math:`z = s(p)` for an accuracy p in [0, 1]. Logit (default; Taori et al. 2020, Miller et al.
2021) and probit are infinite at 0 and 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from diffclf_lightning.errors import InputError

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """A monotone map of accuracies.

    Args:
        name: What it is called.
        forward: Accuracies to scaled ones, of any shape.
        inverse: Scaled accuracies to accuracies.
        derivative: :math:`dp/dz` at accuracies.
        unbounded: Whether 0 and 1 are mapped to infinity.
    """

    name: str
    forward: Callable[[ArrayLike], Values]
    inverse: Callable[[ArrayLike], Values]
    derivative: Callable[[ArrayLike], Values]
    unbounded: bool = True

    def __call__(self, accuracy: ArrayLike) -> Values:
        """Scaled accuracies, finite, float64, of the same shape.

        Raises:
            InputError: If one is outside of [0, 1], or 0 or 1 where the scale is infinite.
        """
        p = np.asarray(accuracy, dtype=np.float64)
        if not (finite := self.is_finite(p)).all():
            between = "strictly between 0 and 1" if self.unbounded else "from 0 to 1"
            raise InputError(
                f"Expected accuracies {between} on the {self.name} scale, but got "
                f"{p[~finite].flat[0]:g}. Leave such models out, or take the linear scale."
            )
        return np.asarray(self.forward(p))

    def is_finite(self, accuracy: ArrayLike) -> NDArray[np.bool_]:
        """Where accuracies have a finite place on the scale."""
        p = np.asarray(accuracy, dtype=np.float64)
        return (p > 0) & (p < 1) if self.unbounded else (p >= 0) & (p <= 1)


LOGIT = Scale("logit", logit, expit, lambda p: np.multiply(p, np.subtract(1, p)))
PROBIT = Scale("probit", norm.ppf, norm.cdf, lambda p: norm.pdf(norm.ppf(p)))
LINEAR = Scale("linear", np.asarray, np.asarray, np.ones_like, unbounded=False)
SCALES = {scale.name: scale for scale in (LOGIT, PROBIT, LINEAR)}


def get_scale(name: str) -> Scale:
    """The scale called ``logit``, ``probit`` or ``linear``; another name is an InputError."""
    if name not in SCALES:
        raise InputError(
            f"Expected argument `scale` to be one of {', '.join(SCALES)}, but got {name!r}."
        )
    return SCALES[name]
