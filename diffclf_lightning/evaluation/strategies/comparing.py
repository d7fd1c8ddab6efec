"""Comparing: an example of images and captions stops once all its comparisons are decided."""

from itertools import pairwise

import torch
from scipy.special import stdtrit
from torch import Tensor

from diffclf_lightning.evaluation.grids import GoldenGrid
from diffclf_lightning.evaluation.scored import ScoreTable
from diffclf_lightning.evaluation.strategies.base import Strategy
from diffclf_lightning.evaluation.strategies.rounds import check_level, rounds_of

SMALLEST = 1e-30
"""Of squares, so that equal errors are zero apart, and never decided."""


class Comparing(Strategy):
    """All pairs of an example meet the same trials, until every comparison of it is decided.

    A comparison is between the best caption of an image and another, or between the best image of a
    caption and another, by the score that decides. With ``d`` the differences at the trials so far,
    all at the same noise, it is decided if their mean is not 0 by the two-sided paired t-test. For
    two images and two captions these are the four comparisons of text and image score.

    Each round has ``growth`` times the trials of the one before. What is decided about an example
    depends on its own errors alone.

    Args:
        level: Chance that a test calls a comparison decided in which neither is better.
        min_trials: Trials before the first test, at least 2.
        max_trials: Trials at most.
        growth: Factor between rounds, above 1.

    Raises:
        InputError: If an argument is out of range.

    Example:
        >>> Comparing(max_trials=40, growth=2).stages
        (5, 10, 20, 40)
    """

    grid = GoldenGrid()
    adaptive = True
    prunes = False
    decides_samples = True

    def __init__(
        self,
        level: float = 0.02,
        min_trials: int = 5,
        max_trials: int = 1000,
        growth: float = 1.5,
    ) -> None:
        check_level(level)
        self.level, self.growth = level, growth
        self.min_trials, self.max_trials = min_trials, max_trials
        self.stages = self.ends = rounds_of(min_trials, max_trials, growth)

    def __repr__(self) -> str:
        return (
            f"Comparing(level={self.level:g}, min_trials={self.min_trials}, "
            f"max_trials={self.max_trials}, growth={self.growth:g})"
        )

    def further(self, table: ScoreTable) -> Tensor:
        allowed, counts, values = table.allowed.cpu(), table.counts.cpu(), table.values.cpu()
        # Images of one example have the same candidates, which no other example has.
        starts = [0, *((allowed[1:] != allowed[:-1]).any(dim=1).nonzero()[:, 0] + 1).tolist()]
        more, place = torch.zeros_like(counts), 0
        for first, last in pairwise([*starts, len(allowed)]):
            met, own = int(counts[first].amax()), allowed[first]
            shape = (last - first, int(own.sum()), met)
            size = shape[0] * shape[1] * met
            errors = values[place : place + size].view(shape).double()
            place += size
            if met < self.ends[-1] and not self._decided(errors):
                following = next(end for end in self.ends if end > met)
                more[first:last, own] = following - met
        return more.to(table.counts.device)

    def _decided(self, errors: Tensor) -> bool:
        """Whether all comparisons are, by errors of shape ``(images, captions, trials)``."""
        trials = errors.shape[2]
        if trials < 2:
            return False
        critical = float(-stdtrit(trials - 1, self.level / 2))  # the best is chosen by the data
        return all(
            _behind_best(errors, dim).min() > critical
            for dim, number in enumerate(errors.shape[:2])
            if number > 1
        )

    def evaluations(self, num_candidates: int) -> int:
        return num_candidates * self.ends[-1]


def _behind_best(errors: Tensor, dim: int) -> Tensor:
    """Paired t statistics of how far the others are behind the best along a dimension."""
    best = errors.mean(dim=2, keepdim=True).argmin(dim=dim, keepdim=True)
    trials = errors.shape[2]
    winner = errors.take_along_dim(best.expand(*best.shape[:2], trials), dim=dim)
    behind = errors - winner
    spread = (behind.var(dim=2) / trials).clamp(min=SMALLEST).sqrt()
    statistics = behind.mean(dim=2) / spread
    return statistics.scatter(dim, best[..., 0], torch.inf)
