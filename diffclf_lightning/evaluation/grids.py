"""Grids: the times of the trials, in the order in which every candidate of an image meets them.

Times are exact fractions of [0, 1): rounded to float32 some would fall to the timestep below. With
``M`` trials in all, grids differ in the order and in how many trials a stage ends with.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

import numpy as np
import torch

from diffclf_lightning.errors import InputError

Order = tuple[list[Fraction], tuple[int, ...]]
"""Times in evaluation order, and the number of trials done after each stage."""


class TimeGrid(ABC):
    """Hands times out to the stages of a strategy."""

    @abstractmethod
    def order(self, stages: Sequence[int]) -> Order:
        """Times in evaluation order.

        Args:
            stages: Cumulative number of trials asked for after each stage, increasing.

        Returns:
            The times, and the number of trials that are done after each stage: the ``stages``
            themselves but for :class:`PublishedGrid`.
        """

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"


class NestedGrid(TimeGrid):
    """Evenly spaced times; those of a stage contain those of all earlier stages.

    Time ``i`` of ``M`` is ``(i + 1/2) / M``, which for ``M`` that divide a model's 1000 timesteps
    is the published base grid (250 of 1000: 2, 6, ..., 998). Each earlier stage takes evenly
    spaced ones of the next, so that the cumulative counts are exactly the ``stages`` asked for.

    Example:
        >>> times, ends = NestedGrid().order((2, 4))
        >>> [str(time) for time in times], ends
        (['3/8', '7/8', '1/8', '5/8'], (2, 4))
    """

    def order(self, stages: Sequence[int]) -> Order:
        nested = [list(range(stages[-1]))]
        for count in reversed(stages[:-1]):
            later = nested[0]
            chosen = [((2 * i + 1) * len(later)) // (2 * count) for i in range(count)]
            nested.insert(0, [later[i] for i in chosen])
        cells = dict.fromkeys(cell for stage in nested for cell in stage)
        return [_middle(cell, stages[-1]) for cell in cells], tuple(stages)


class GoldenGrid(TimeGrid):
    """Evenly spaced times in an order of which every beginning is well spread.

    Trial ``k`` takes the free cell of the even grid of ``M`` cells that is nearest, round the
    circle, to the fractional part of ``offset + k / golden ratio``; after ``M`` trials the grid is
    complete. For strategies that may stop after any trial.

    Args:
        offset: Where the order begins, in [0, 1).

    Example:
        >>> [str(time) for time in GoldenGrid().order((5,))[0]]
        ['1/2', '1/10', '7/10', '3/10', '9/10']
    """

    def __init__(self, offset: float = 0.5) -> None:
        if not 0 <= offset < 1:
            raise InputError(f"Expected argument `offset` in [0, 1), but got {offset}.")
        self.offset = offset

    def order(self, stages: Sequence[int]) -> Order:
        return golden_order(stages[-1], self.offset), tuple(stages)


class PublishedGrid(TimeGrid):
    """The grid of the published evaluations, for comparison with published numbers.

    With ``T`` timesteps and the base grid ``range(T//M//2, T, T//M)[:M]``, a stage of ``n``
    cumulative trials takes ``grid[M//n//2 :: M//n][:n]`` less what is done already. These do not
    nest, so that the cumulative counts may exceed the ``stages`` (20, 50, 100, 500 become 20, 70,
    150, 500).

    Args:
        timesteps: Number ``T`` of timesteps that the model was trained with.
    """

    def __init__(self, timesteps: int = 1000) -> None:
        self.timesteps = _checked(timesteps)

    def order(self, stages: Sequence[int]) -> Order:
        """See :meth:`TimeGrid.order`.

        Raises:
            InputError: If there are more trials than timesteps.
        """
        total = stages[-1]
        if total > self.timesteps:
            raise InputError(
                f"Expected the last of `trials` to be at most {self.timesteps}, the number of "
                f"training timesteps, but got {total}. Use fewer trials, or `NestedGrid` or "
                "`UniformGrid`, which may repeat timesteps."
            )
        step = self.timesteps // total
        base = list(range(step // 2, self.timesteps, step))[:total]
        taken = [base[total // n // 2 :: total // n][:n] for n in stages]
        done = list(accumulate(taken, lambda before, stage: [*before, *stage]))
        ends = tuple(len(dict.fromkeys(so_far)) for so_far in done)
        return [Fraction(t, self.timesteps) for t in dict.fromkeys(done[-1])], ends


class UniformGrid(TimeGrid):
    """Independent times, uniform over the multiples of a small step.

    Args:
        seed: Seed of the draw.
        timesteps: Number of possible times.
    """

    def __init__(self, seed: int = 0, timesteps: int = 1000) -> None:
        self.seed, self.timesteps = seed, _checked(timesteps)

    def order(self, stages: Sequence[int]) -> Order:
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randint(self.timesteps, (stages[-1],), generator=generator).tolist()
        return [Fraction(t, self.timesteps) for t in drawn], tuple(stages)


def golden_order(total: int, offset: float, density: Sequence[float] = (1.0,)) -> list[Fraction]:
    """Middles of an even grid in the order of golden-ratio steps, more of them where it is dense.

    Step ``k`` takes the free cell that is nearest, round the circle, to the time below which the
    density has the share ``frac(offset + k / golden ratio)``.

    Args:
        total: Number of cells.
        offset: Where the order begins, in [0, 1).
        density: Density of the steps over time, constant in each of as many equal parts of [0, 1)
            as there are entries, above 0. Defaults to the uniform one.

    Returns:
        The middle of every cell.
    """
    ratio = (5**0.5 - 1) / 2
    shares = np.cumsum([0.0, *density]) / sum(density)
    parts = np.linspace(0, 1, len(shares))
    aims = np.interp((offset + np.arange(total) * ratio) % 1, shares, parts) * total
    middles, free = np.arange(total) + 0.5, np.ones(total, dtype=bool)
    cells = []
    for aim in aims:
        gap = np.abs(middles - aim)
        cells.append(int(np.where(free, np.minimum(gap, total - gap), np.inf).argmin()))
        free[cells[-1]] = False
    return [_middle(cell, total) for cell in cells]


def _checked(timesteps: int) -> int:
    if timesteps < 1:
        raise InputError(f"Expected argument `timesteps` to be at least 1, but got {timesteps}.")
    return timesteps


def _middle(cell: int, cells: int) -> Fraction:
    return Fraction(2 * cell + 1, 2 * cells)
