r"""Candidates compared by a score: means, differences, and the answer.

With errors ``e[i, c, j]`` of image ``i``, candidate ``c`` and trial ``j``, a candidate that was
pruned met fewer trials, at other times, than the winner, so that plain means of the two must not
be compared. They are compared over the trials in common: with ``b`` the best candidate, the
*comparable score* of ``c`` is :math:`\bar e_b + \overline{(e_c - e_b)}_{\text{common trials}}`. For
candidates that met all trials this is the plain mean.

One rule gives the answer under every score: the candidate of lowest mean among the finalists. So a
comparable score never falls below the winner's.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from diffclf_lightning.evaluation.ragged import Part, dense, parts, starts


@dataclass(frozen=True)
class ScoreTable:
    """What a score makes of each error.

    Args:
        values: Contributions to the score, float32, shape ``(evaluations,)``: image by image,
            candidate by candidate, trial by trial. A candidate's score is their mean.
        counts: Number of trials of each candidate, int64, shape ``(images, candidates)``.
        labels: Label of each candidate, int64, shape ``(candidates,)``.
        allowed: Candidates of each image, bool, shape ``(images, candidates)``.
        finalists: Candidates that may win, bool, shape ``(images, candidates)``. Defaults to None:
            those that met the most trials.
        sizes: Number of values of each image, which the device need not be asked for.
    """

    values: Tensor
    counts: Tensor
    labels: Tensor
    allowed: Tensor
    finalists: Tensor | None = None
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.sizes:
            object.__setattr__(self, "sizes", tuple(self.counts.sum(dim=1).tolist()))

    def dense(self) -> Tensor:
        """Values with NaN where never evaluated, shape ``(images, candidates, trials)``."""
        return dense(self.values, self.counts)

    @property
    def exact(self) -> torch.dtype:
        """What sums are computed in, double where the device has it."""
        return torch.float32 if self.values.device.type == "mps" else torch.float64

    @cached_property
    def means(self) -> Tensor:
        """Mean of each candidate over its own trials, NaN without one; ``(images, candidates)``."""
        return self._mean_and_error(difference=False)[0]

    @cached_property
    def standard_errors(self) -> Tensor:
        """Standard error of each mean, NaN below two trials; ``(images, candidates)``."""
        return self._mean_and_error(difference=False)[1]

    @cached_property
    def best(self) -> Tensor:
        """Index of the finalist of lowest mean, the first of equals, shape ``(images,)``."""
        may_win = self.finalists
        if may_win is None:
            may_win = self.allowed & (self.counts == self.counts.amax(dim=1, keepdim=True))
        return self.means.masked_fill(~may_win | self.means.isnan(), torch.inf).argmin(dim=1)

    @property
    def predictions(self) -> Tensor:
        """Label of the best candidate of each image, shape ``(images,)``."""
        return self.labels[self.best]

    @cached_property
    def scores(self) -> Tensor:
        """Comparable scores, lower is better, infinite where never evaluated.

        Shape ``(images, candidates)``, float32. The winner's is the lowest, and the only one.
        """
        best = self.best[:, None]
        lowest = self.means.gather(1, best).float()
        differences = self._differences[0]
        others = torch.nextafter(lowest, lowest.new_full((), torch.inf))
        scores = torch.maximum((lowest + differences).float(), others)
        scores = scores.masked_fill(differences.isnan(), torch.inf)
        return scores.scatter(1, best, lowest)

    @property
    def difference_standard_errors(self) -> Tensor:
        """Standard error of each mean difference to the best, shape ``(images, candidates)``."""
        return self._differences[1]

    @cached_property
    def _differences(self) -> tuple[Tensor, Tensor]:
        return self._mean_and_error(difference=True)

    @cached_property
    def _begins(self) -> Tensor:
        return starts(self.counts)

    def behind_best(self, part: Part) -> tuple[Tensor, Tensor]:
        """How far values are behind the best candidate's at the same trials.

        Args:
            part: Which values.

        Returns:
            The differences, and whether the best candidate met the trial.
        """
        winner, image = self.best[part.images, None], part.pair // self.counts.shape[1]
        common = part.trial < self.counts[part.images].gather(1, winner)[image, 0]
        place = self._begins[part.images].gather(1, winner)[image, 0] + part.trial
        values = self.values[part.values].to(self.exact)
        return values - self.values[place.where(common, 0)], common

    def _mean_and_error(self, *, difference: bool) -> tuple[Tensor, Tensor]:
        """Mean and standard error of values, or of their differences to the best candidate's."""
        means, errors = [self.values.new_empty((0, self.counts.shape[1]), dtype=self.exact)], []
        for part in parts(self.counts, self.sizes):
            counts, pair = self.counts[part.images], part.pair
            if difference:
                values, common = self.behind_best(part)
                counts = torch.minimum(counts, counts.gather(1, self.best[part.images, None]))
            else:
                values = self.values[part.values].to(self.exact)
                common = torch.ones_like(pair, dtype=torch.bool)
            number = counts.flatten().to(values.dtype)
            summed = torch.zeros_like(number).index_add_(0, pair, values.where(common, 0))
            mean = summed / number
            centred = (values - mean[pair]).where(common, 0)
            squares = torch.zeros_like(number).index_add_(0, pair, centred.square())
            means.append(mean.reshape(counts.shape))
            errors.append((squares / (number - 1) / number).sqrt().reshape(counts.shape))
        return torch.cat(means), torch.cat([means[0], *errors]).float()
