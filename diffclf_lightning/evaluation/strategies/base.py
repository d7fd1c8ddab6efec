"""Strategy: sees the scores so far, and says how many more trials each candidate gets."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Self

from torch import Tensor

from diffclf_lightning.evaluation.grids import NestedGrid, TimeGrid
from diffclf_lightning.evaluation.scored import ScoreTable

TAIL = 16
"""The part of the first round of a race by which its late rounds fill a pass at least by half."""


class Strategy(ABC):
    """Decides how many trials each candidate of each image gets, and who may win.

    A strategy is asked round after round; it keeps no state about images, so that what it answers
    for an image depends on that image alone.
    """

    stages: tuple[int, ...]
    """Cumulative numbers of trials that are asked of the grid, increasing."""
    ends: tuple[int, ...]
    """The same as the grid hands them out; ``stages`` until the strategy is bound."""
    grid: TimeGrid = NestedGrid()
    """The order of times that it is made for, which a classifier without a grid takes."""
    prunes: bool = True
    """Whether candidates of an image may meet different numbers of trials."""
    decides_samples: bool = False
    """Whether it decides about all images of a sample together."""
    adaptive: bool = False
    """Whether an image may take fewer evaluations than :meth:`evaluations` says."""

    def bind(self, num_candidates: int, ends: Sequence[int]) -> Self:
        """A copy for one set, checked before the first evaluation.

        Args:
            num_candidates: Number of candidates.
            ends: Number of trials that the grid hands out up to each stage.

        Returns:
            The copy.

        Raises:
            InputError: If the strategy does not fit the candidates.
        """
        bound = copy(self)
        bound.ends = tuple(ends)
        return bound

    @abstractmethod
    def further(self, table: ScoreTable) -> Tensor:
        """Trials to add.

        Args:
            table: The deciding score so far, with the labels, counts and allowed candidates.

        Returns:
            Number of trials that each candidate gets in this round, int64, shape
            ``(images, candidates)``; all zero for images that are decided.
        """

    def finalists(self, table: ScoreTable) -> Tensor:
        """Candidates that may win, once no trial is to be added: those that met the most trials.

        Args:
            table: The deciding score.

        Returns:
            Bool, shape ``(images, candidates)``, at least one of each image.
        """
        return table.allowed & (table.counts == table.counts.amax(dim=1, keepdim=True))

    @abstractmethod
    def evaluations(self, num_candidates: int) -> int:
        """Number of model evaluations an image, at most.

        Args:
            num_candidates: Number of candidates.

        Returns:
            Evaluations per image.
        """

    def largest_pass(self, num_images: int, num_candidates: int) -> int:
        """Evaluations that one forward pass may hold, so that few run in passes half empty.

        Rounds in which images are decided one after another become small; a part of the first is
        what the others can be counted on to fill. The first of one image always fits.

        Args:
            num_images: Number of images that are evaluated together.
            num_candidates: Number of candidates of each.
        """
        first = num_candidates * self.ends[0]
        return max(first, num_images * first // TAIL)
