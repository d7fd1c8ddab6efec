"""Strategies: blocks of trials, and after each block which candidates stay.

A strategy sees errors only. Its ``trials`` and ``keep`` are cumulative: ``trials=(25, 250),
keep=(5, 1)`` gives each candidate 25 trials, keeps the 5 of lowest mean error, and brings those 5
to 250 (Li et al., ICCV 2023, Algorithm 2).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation.grids import Grid, NestedGrid


class Strategy(ABC):
    """Decides how many trials each candidate gets."""

    trials: tuple[int, ...]

    @abstractmethod
    def check(self, num_candidates: int) -> None:
        """Say before the first evaluation that the strategy does not fit the candidates.

        Args:
            num_candidates: Number of candidates.

        Raises:
            InputError: If it does not fit.
        """

    @abstractmethod
    def survivors(self, block: int, errors: Tensor, alive: Tensor) -> Tensor:
        """Candidates that stay after a block.

        Args:
            block: Number of the block that is done, from 0.
            errors: Errors of the trials so far, NaN where a candidate was not evaluated, shape
                ``(images, candidates, trials)``.
            alive: Candidates still in the race, bool, shape ``(images, candidates)``.

        Returns:
            Candidates that stay, a subset of ``alive``, of the same shape.
        """

    @abstractmethod
    def evaluations(
        self, num_candidates: int, num_train_timesteps: int = 1000, grid: Grid | None = None
    ) -> int:
        """Number of model evaluations an image (at most, where it depends on the errors).

        Args:
            num_candidates: Number of candidates.
            num_train_timesteps: Number of timesteps that the model was trained with.
            grid: How timesteps are handed out; the nested grid when not given.

        Returns:
            Evaluations per image.
        """


class Staged(Strategy):
    """Prune in stages (Algorithm 2): after each stage keep the candidates of lowest mean error.

    Args:
        trials: Cumulative number of trials after each stage, increasing.
        keep: Number of candidates kept after each stage, decreasing to 1.

    Raises:
        InputError: If ``trials`` and ``keep`` are not such sequences.

    Example:
        >>> Staged(trials=(25, 250), keep=(5, 1)).evaluations(num_candidates=37)
        2050
    """

    def __init__(self, trials: Sequence[int], keep: Sequence[int]) -> None:
        self.trials, self.keep = tuple(trials), tuple(keep)
        if len(self.trials) != len(self.keep):
            raise InputError(
                "Expected arguments `trials` and `keep` to have one entry a stage each, but got "
                f"trials={list(trials)} with {len(self.trials)} and keep={list(keep)} with "
                f"{len(self.keep)}. Give both the same length."
            )
        if not self.trials or self.trials[0] < 1 or not _increasing(self.trials):
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

    def __repr__(self) -> str:
        return f"{type(self).__name__}(trials={self.trials}, keep={self.keep})"

    def check(self, num_candidates: int) -> None:
        """See :meth:`Strategy.check`."""
        if self.keep[0] > num_candidates:
            raise InputError(
                f"Expected the entries of argument `keep` to be at most {num_candidates}, the "
                f"number of candidates, but got {list(self.keep)}. Keep fewer."
            )

    def survivors(self, block: int, errors: Tensor, alive: Tensor) -> Tensor:
        """See :meth:`Strategy.survivors`."""
        means = errors.mean(dim=-1).masked_fill(~alive, torch.inf)
        order = means.sort(dim=1, stable=True).indices
        kept = order[:, : self.keep[block]]
        return torch.zeros_like(alive).scatter_(1, kept, value=True) & alive

    def evaluations(
        self, num_candidates: int, num_train_timesteps: int = 1000, grid: Grid | None = None
    ) -> int:
        """See :meth:`Strategy.evaluations`."""
        blocks = (grid or NestedGrid()).blocks(self.trials, num_train_timesteps)
        alive = (num_candidates, *(min(k, num_candidates) for k in self.keep))
        return sum(len(block) * count for block, count in zip(blocks, alive, strict=False))


class Full(Staged):
    """Every candidate meets every trial (Algorithm 1).

    Args:
        trials: Number of trials of each candidate.
    """

    def __init__(self, trials: int) -> None:
        super().__init__(trials=(trials,), keep=(1,))

    def __repr__(self) -> str:
        return f"Full(trials={self.trials[0]})"


def _increasing(values: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(values))
