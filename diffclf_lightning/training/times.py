"""The times that a denoiser is trained at, stratified over a batch."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from diffclf_lightning.errors import InputError


class TimeSampler(ABC):
    """Draws times: a subclass gives :meth:`of`."""

    def __call__(self, size: int, step: int) -> Tensor:
        """Times in [0, 1), float64, shape ``(size,)``, on the CPU.

        Args:
            size: Number of samples.
            step: Steps of training so far.
        """
        return self.of((torch.randperm(size) + torch.rand(size, dtype=torch.float64)) / size, step)

    @abstractmethod
    def of(self, uniform: Tensor, step: int) -> Tensor:
        """Times made of numbers that are evenly spread over [0, 1)."""


class TimeRange(TimeSampler):
    """Times in a range, but for a share of them that lies anywhere.

    Args:
        low: Where the range begins.
        high: Where it ends.
        anywhere: Share of the times that are spread over [0, 1).

    Raises:
        InputError: If that is no such range.
    """

    def __init__(self, low: float = 0.0, high: float = 1.0, anywhere: float = 0.0) -> None:
        if not 0 <= low < high <= 1:
            raise InputError(
                f"Expected arguments `low` and `high` with 0 <= low < high <= 1, but got {low} and "
                f"{high}."
            )
        if not 0 <= anywhere <= 1:
            raise InputError(f"Expected argument `anywhere` from 0 to 1, but got {anywhere}.")
        self.low, self.high, self.anywhere = low, high, anywhere

    def of(self, uniform: Tensor, step: int) -> Tensor:
        within = self.low + uniform * (self.high - self.low)
        if not self.anywhere:
            return within
        return torch.where(torch.rand(len(uniform)) < self.anywhere, uniform, within)


class Successive(TimeSampler):
    """Times of one kind for some steps, then of another.

    Args:
        first: The first.
        steps: Number of steps that it lasts.
        then: The other.
    """

    def __init__(self, first: TimeSampler, steps: int, then: TimeSampler) -> None:
        self.first, self.steps, self.then = first, steps, then

    def of(self, uniform: Tensor, step: int) -> Tensor:
        return (self.first if step < self.steps else self.then).of(uniform, step)
