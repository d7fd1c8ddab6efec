r"""Racing: candidates are dropped as soon as they are behind beyond doubt.

After a round with ``n`` trials, ``b`` is the best of the candidates that are left, ``K`` the number
of the others, its rivals, and :math:`d_{cj} = e_{cj} - e_{bj}` how far rival ``c`` is behind at
trial ``j``. Trials at some times differ more than at others, whoever is compared; so each is
divided by its own scale,

.. math::
    q_{cj} = d_{cj}^2 \Big/ \frac1n \sum_k d_{ck}^2, \qquad
    g_j^2 = \frac{1 + \sum_c q_{cj}}{1 + K}, \qquad z_{cj} = d_{cj} / g_j.

With few trials a variance is uncertain, so that :math:`s_c^2`, that of :math:`z_c`, is moderated by
the rivals' mean :math:`s_0^2`, which counts as :math:`\nu = \min(8, (K - 1)(n - 1))` degrees of
freedom: :math:`v_c = (\nu s_0^2 + (n - 1) s_c^2) / (\nu + n - 1)`. Rival ``c`` is dropped if
:math:`\bar z_c / \sqrt{v_c / n}` is above the ``1 - level`` quantile of Student's t with
:math:`\nu + n - 1` degrees of freedom. The test alone is scaled; the score stays the mean.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from diffclf_lightning.evaluation.grids import GoldenGrid
from diffclf_lightning.evaluation.ragged import parts
from diffclf_lightning.evaluation.scored import ScoreTable
from diffclf_lightning.evaluation.strategies.base import Strategy
from diffclf_lightning.evaluation.strategies.rounds import check_level, rounds_of

PRIOR = 8
"""Degrees of freedom that the mean variance of the rivals counts at most."""
SMALLEST = 1e-30
"""Of squares, so that equal candidates are zero behind, and never dropped."""


class Racing(Strategy):
    """Drop each candidate when it is significantly behind the best, round after round.

    An image is decided when all candidates that are left stand for one label, or have met all
    trials; then the best of them is the answer. Easy images take few rounds, hard ones up to all.
    Each round has ``growth`` times the trials of the one before. What is decided about an image
    depends on its own errors alone, and not on their unit.

    Args:
        level: Chance that one test drops a candidate which is as good as the best. The share of
            images whose answer differs from that of all trials is usually below it, but that is no
            guarantee; ``diffclf calibrate --error-rate`` finds the level for one.
        min_trials: Trials before the first test, at least 2.
        max_trials: Trials at most.
        growth: Factor between rounds, above 1.
        strict: Whether ``level`` is the chance that any test of an image errs, which takes many
            more evaluations.

    Raises:
        InputError: If an argument is out of range.

    Example:
        >>> Racing().stages
        (3, 4, 7, 10, 15, 22, 33, 50, 75, 112, 167, 250)
    """

    grid = GoldenGrid()
    adaptive = True

    def __init__(
        self,
        level: float = 0.02,
        min_trials: int = 3,
        max_trials: int = 250,
        growth: float = 1.5,
        strict: bool = False,
    ) -> None:
        check_level(level)
        self.level, self.growth, self.strict = level, growth, strict
        self.min_trials, self.max_trials = min_trials, max_trials
        self.stages = self.ends = rounds_of(min_trials, max_trials, growth)

    def __repr__(self) -> str:
        return (
            f"Racing(level={self.level:g}, min_trials={self.min_trials}, "
            f"max_trials={self.max_trials}, growth={self.growth:g}, strict={self.strict})"
        )

    def at(self, level: float) -> "Racing":
        """The same race at another level."""
        return Racing(level, self.min_trials, self.max_trials, self.growth, self.strict)

    def further(self, table: ScoreTable) -> Tensor:
        device = table.counts.device
        ends = torch.tensor(self.ends, device=device)
        met = table.counts.amax(dim=1, keepdim=True)
        stage = torch.searchsorted(ends, met, right=True)  # the next
        target = torch.cat([ends, ends[-1:]])[stage]
        left = self._survivors(table, stage)
        labels = table.labels.expand_as(left)
        lowest = labels.masked_fill(~left, torch.iinfo(labels.dtype).max).amin(dim=1, keepdim=True)
        highest = labels.masked_fill(~left, -1).amax(dim=1, keepdim=True)
        going = (lowest != highest) | (met == 0)
        return torch.where(left & going, target - met, 0)

    def _survivors(self, table: ScoreTable, stage: Tensor) -> Tensor:
        """Candidates that are not dropped, bool, shape ``(images, candidates)``."""
        left = self.finalists(table)
        rivals = left.scatter(1, table.best[:, None], value=False)
        means, variances = _scaled(table, rivals, self.ends[-1])
        met, number = table.counts.amax(dim=1, keepdim=True), rivals.sum(dim=1, keepdim=True)
        common = variances.masked_fill(~rivals, 0).sum(dim=1, keepdim=True) / number.clamp(min=1)
        prior = ((number - 1).clamp(min=0) * (met - 1)).clamp(max=PRIOR)
        moderated = (prior * common + (met - 1) * variances) / (prior + met - 1)
        behind = means / (moderated / met).clamp(min=SMALLEST).sqrt()
        critical = _critical(self.ends, self.level, self.strict, rivals.shape[1]).to(behind)
        return left & ~(rivals & (behind > critical[stage, number]))

    def evaluations(self, num_candidates: int) -> int:
        return num_candidates * self.ends[-1]


def _scaled(table: ScoreTable, rivals: Tensor, trials: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of how far each rival is behind, each trial divided by its scale.

    Args:
        table: The scores.
        rivals: Whom to compare with the best, bool, shape ``(images, candidates)``.
        trials: Number of trials at most.

    Returns:
        Both of shape ``(images, candidates)``; of others than rivals they mean nothing.
    """
    width = rivals.shape[1]
    found = [table.values.new_empty((2, 0, width), dtype=table.exact)]
    for part in parts(table.counts, table.sizes):
        behind, _ = table.behind_best(part)
        pair, cell = part.pair, part.pair // width * trials + part.trial
        number = table.counts[part.images].flatten().to(behind.dtype)
        nothing = torch.zeros_like(number)
        is_rival = rivals[part.images]
        behind = behind.where(is_rival.flatten()[pair], 0)
        squares = behind.square()
        mean_square = nothing.index_add(0, pair, squares) / number
        relative = squares / mean_square.clamp(min=SMALLEST)[pair]
        spread = number.new_ones(len(is_rival) * trials).index_add_(0, cell, relative)
        spread = spread.view(-1, trials) / (1 + is_rival.sum(dim=1, keepdim=True))
        scaled = behind / spread.flatten().sqrt()[cell]
        mean = nothing.index_add(0, pair, scaled) / number
        centred = (scaled - mean[pair]).square()
        variance = nothing.index_add(0, pair, centred) / (number - 1)
        found.append(torch.stack([mean, variance]).view(2, -1, width))
    means, variances = torch.cat(found, dim=1)
    return means, variances


@lru_cache
def _critical(ends: Sequence[int], level: float, strict: bool, candidates: int) -> Tensor:
    """Quantiles by stage and number of rivals, shape ``(len(ends) + 1, candidates)``.

    Nobody is dropped where they are infinite: before the first trial and after the last.
    """
    rivals = np.arange(1, candidates)
    table = torch.full((len(ends) + 1, candidates), torch.inf, dtype=torch.float64)
    for stage, trials in enumerate(ends[:-1], start=1):
        freedom = trials - 1.0 + np.minimum(PRIOR, (rivals - 1) * (trials - 1))
        share = level / (rivals * len(ends)) if strict else level
        table[stage, 1:] = torch.from_numpy(-stdtrit(freedom, share))
    return table
