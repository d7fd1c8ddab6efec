"""Thinning: stages that suit any number of candidates."""

from collections.abc import Sequence
from copy import copy
from typing import Self

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation.strategies.staged import Staged


class Thinning(Staged):
    """Staged pruning that keeps the same share of whatever candidates a set has.

    After each stage but the last ``share`` of the candidates that there were is kept, and at least
    two: of ten candidates and a third, four and two.

    Args:
        trials: Number of trials after each stage, cumulative and increasing.
        share: Share of the candidates that each stage keeps, in (0, 1).

    Raises:
        InputError: If an argument is out of range.

    Example:
        >>> [Thinning(trials=(4, 12, 50)).evaluations(candidates) for candidates in (10, 2)]
        [148, 100]
    """

    def __init__(self, trials: Sequence[int] = (4, 12, 50), share: float = 1 / 3) -> None:
        super().__init__(trials, range(len(trials), 0, -1))
        if not 0 < share < 1:
            raise InputError(f"Expected argument `share` in (0, 1), but got {share}.")
        self.share = share

    def __repr__(self) -> str:
        return f"Thinning(trials={self.stages}, share={self.share:g})"

    def bind(self, num_candidates: int, ends: Sequence[int]) -> Self:
        return super(Staged, self._keeping(num_candidates)).bind(num_candidates, ends)

    def rounds(self, num_candidates: int) -> list[int]:
        return super(Thinning, self._keeping(num_candidates)).rounds(num_candidates)

    def _keeping(self, num_candidates: int) -> Self:
        made, left = copy(self), float(num_candidates)
        keep = []
        for _ in self.stages[:-1]:
            left = max(2.0, left * self.share)
            keep.append(-int(-left // 1))
        made.keep = (*keep, 1)
        return made
