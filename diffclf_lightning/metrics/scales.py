r"""Scales of accuracy on which models of one kind lie along a line.

:math:`z = s(p)` for an accuracy p in [0, 1]. Logit (default; Taori et al. 2020, Miller et al.
2021) and probit are infinite at 0 and 1.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from diffclf_lightning.errors import InputError

Values = NDArray[np.float64]


class Scale(ABC):
    """A monotone map of accuracies."""

    name: str
    unbounded: bool = True
    """Whether 0 and 1 are mapped to infinity."""

    @abstractmethod
    def _map(self, p: Values) -> Values:
        """Scaled accuracies."""

    @abstractmethod
    def inverse(self, z: ArrayLike) -> Values:
        """Accuracies of scaled ones, of the same shape."""

    @abstractmethod
    def derivative(self, p: ArrayLike) -> Values:
        """:math:`dp/dz` at accuracies ``p``, of the same shape."""

    def __call__(self, p: ArrayLike) -> Values:
        """Scaled accuracies.

        Args:
            p: Accuracies in [0, 1], of any shape.

        Returns:
            Finite values, float64, of the same shape.

        Raises:
            InputError: If one is outside, or 0 or 1 where the scale has no finite value.
        """
        values = np.asarray(p, dtype=np.float64)
        inside = (values > 0) & (values < 1) if self.unbounded else (values >= 0) & (values <= 1)
        if not inside.all():
            wrong = values[~inside].flat[0]
            between = "strictly between 0 and 1" if self.unbounded else "from 0 to 1"
            raise InputError(
                f"Expected accuracies {between} on the {self.name} scale, but got {wrong:g}. Leave "
                "such models out, smooth them (half an image added on either side), or take the "
                "linear scale."
            )
        return self._map(values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


class Logit(Scale):
    r""":math:`z = \ln(p / (1 - p))`."""

    name = "logit"

    def _map(self, p: Values) -> Values:
        return _array(logit(p))

    def inverse(self, z: ArrayLike) -> Values:
        """See :meth:`Scale.inverse`."""
        return _array(expit(z))

    def derivative(self, p: ArrayLike) -> Values:
        """See :meth:`Scale.derivative`."""
        values = np.asarray(p, dtype=np.float64)
        return values * (1 - values)


class Probit(Scale):
    """The quantile function of the normal distribution."""

    name = "probit"

    def _map(self, p: Values) -> Values:
        return _array(norm.ppf(p))

    def inverse(self, z: ArrayLike) -> Values:
        """See :meth:`Scale.inverse`."""
        return _array(norm.cdf(z))

    def derivative(self, p: ArrayLike) -> Values:
        """See :meth:`Scale.derivative`."""
        return _array(norm.pdf(norm.ppf(p)))


class Linear(Scale):
    """Accuracies as they are."""

    name = "linear"
    unbounded = False

    def _map(self, p: Values) -> Values:
        return p

    def inverse(self, z: ArrayLike) -> Values:
        """See :meth:`Scale.inverse`."""
        return _array(z)

    def derivative(self, p: ArrayLike) -> Values:
        """See :meth:`Scale.derivative`."""
        return np.ones_like(np.asarray(p, dtype=np.float64))


SCALES: dict[str, Scale] = {scale.name: scale for scale in (Logit(), Probit(), Linear())}


def get_scale(scale: str | Scale) -> Scale:
    """The scale of that name, or the scale itself.

    Args:
        scale: ``"logit"``, ``"probit"``, ``"linear"``, or a scale.

    Returns:
        The scale.

    Raises:
        InputError: If no scale has that name.
    """
    if isinstance(scale, Scale):
        return scale
    if scale not in SCALES:
        raise InputError(
            f"Expected argument `scale` to be one of {', '.join(SCALES)}, but got {scale!r}."
        )
    return SCALES[scale]


def _array(values: Any) -> Values:
    return np.asarray(values, dtype=np.float64)
