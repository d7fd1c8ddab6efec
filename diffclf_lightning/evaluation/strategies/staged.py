"""Staged pruning, as published."""

import warnings
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Self

import torch
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation.scored import ScoreTable
from diffclf_lightning.evaluation.strategies.base import Strategy
from diffclf_lightning.ranges import check_whole

FEW = 0.05
"""Share of the evaluations of an image that may run in passes less than half full."""


class Staged(Strategy):
    """Prune in stages (Li et al., ICCV 2023, Algorithm 2).

    Both arguments are cumulative: ``trials=(25, 250), keep=(5, 1)`` gives each candidate 25 trials,
    keeps the 5 of lowest score, and brings those 5 to 250.

    Args:
        trials: Number of trials after each stage, increasing.
        keep: Number of candidates kept after each stage, decreasing to 1.

    Raises:
        InputError: If ``trials`` and ``keep`` are not such sequences.

    Example:
        >>> Staged(trials=(25, 250), keep=(5, 1)).evaluations(37)
        2050
    """

    def __init__(self, trials: Sequence[int], keep: Sequence[int]) -> None:
        self.stages, self.keep = tuple(trials), tuple(keep)
        for name, numbers in (("trials", self.stages), ("keep", self.keep)):
            for number in numbers:
                check_whole(name, number)
        self.ends = self.stages
        if len(self.stages) != len(self.keep):
            raise InputError(
                "Expected arguments `trials` and `keep` to have one entry a stage each, but got "
                f"trials={list(trials)} with {len(self.stages)} and keep={list(keep)} with "
                f"{len(self.keep)}. Give both the same length."
            )
        if not self.stages or self.stages[0] < 1 or not _increasing(self.stages):
            raise InputError(
                f"Expected argument `trials` to be increasing from at least 1, but got "
                f"{list(trials)}. Its entries are cumulative: give the total after each stage."
            )
        if not _increasing(self.keep[::-1]):
            raise InputError(
                f"Expected argument `keep` to be decreasing, but got {list(keep)}. Each stage must "
                "keep fewer candidates than the one before."
            )
        if self.keep[-1] != 1:
            raise InputError(
                f"Expected the last entry of argument `keep` to be 1, but got {list(keep)}. The "
                "last stage decides on one candidate: end `keep` with 1."
            )

    @property
    def trials(self) -> Sequence[int] | int:
        """The argument ``trials``."""
        return self.stages

    def __repr__(self) -> str:
        return f"{type(self).__name__}(trials={self.stages}, keep={self.keep})"

    def bind(self, num_candidates: int, ends: Sequence[int]) -> Self:
        if self.keep[0] > num_candidates:
            warnings.warn(
                f"keep={list(self.keep)} keeps all candidates where it is more than the "
                f"{num_candidates} that there are.",
                stacklevel=2,
            )
        return super().bind(num_candidates, ends)

    def further(self, table: ScoreTable) -> Tensor:
        device = table.counts.device
        done = table.counts.amax(dim=1, keepdim=True)
        ends = torch.tensor(self.ends, device=device)
        stage = torch.searchsorted(ends, done, right=True)
        # Before the first stage nobody is pruned; after the last nobody gets more.
        keep = torch.tensor([table.counts.shape[1], *self.keep[:-1], 0], device=device)[stage]
        target = torch.cat([ends, ends[-1:]])[stage]
        means = table.means.masked_fill(~self.finalists(table), torch.inf)
        order = means.nan_to_num(nan=0).sort(dim=1, stable=True).indices
        rank = torch.empty_like(order).scatter_(
            1, order, torch.arange(order.shape[1], device=device).expand_as(order)
        )
        alive = self.finalists(table) & (rank < keep)
        return torch.where(alive, target - done, 0)

    def rounds(self, num_candidates: int) -> list[int]:
        """Evaluations of an image in each stage.

        Args:
            num_candidates: Number of candidates.
        """
        alive = (num_candidates, *(min(k, num_candidates) for k in self.keep))
        new = (end - start for start, end in pairwise((0, *self.ends)))
        return [trials * count for trials, count in zip(new, alive, strict=False)]

    def evaluations(self, num_candidates: int) -> int:
        return sum(self.rounds(num_candidates))

    def largest_pass(self, num_images: int, num_candidates: int) -> int:
        rounds = sorted(self.rounds(num_candidates))
        few = FEW * sum(rounds)
        half = next(n for n, so_far in zip(rounds, accumulate(rounds), strict=True) if so_far > few)
        return num_images * min(2 * half, rounds[-1])


class Full(Staged):
    """Every candidate meets every trial (Li et al., ICCV 2023, Algorithm 1).

    Args:
        trials: Number of trials of each candidate, at least 1.
    """

    prunes = False

    def __init__(self, trials: int) -> None:
        super().__init__(trials=(trials,), keep=(1,))

    @property
    def trials(self) -> int:
        return self.stages[0]

    def __repr__(self) -> str:
        return f"Full(trials={self.stages[0]})"


def _increasing(values: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(values))
