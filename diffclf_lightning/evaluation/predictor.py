"""What the engine needs of a model and of conditioning, whatever they are."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol

from torch import Tensor

from diffclf_lightning.evaluation.noised import Noised, Prediction, Timesteps


class Conditionings(Protocol):
    """What the engine needs of conditioning: rows."""

    @property
    def num_rows(self) -> int:
        """Number of candidates."""

    def rows(self, index: Tensor) -> Any:
        """Conditioning of some candidates, on the device of the index."""


class Predictor(Protocol):
    """What the engine needs of a model."""

    @property
    def predicts_variance(self) -> bool:
        """Whether its predictions have the variance of the reverse step too."""

    def at(self, times: Sequence[Fraction]) -> Timesteps:
        """Times in [0, 1) as the model's schedule sees them."""

    def predict(self, noised: Noised, conditioning: Any) -> Prediction:
        """What the model says of noised samples, in one forward pass."""
