"""Rounds of a sequential test: each has so many times the trials of the one before."""

import math

from diffclf_lightning.errors import InputError
from diffclf_lightning.ranges import check_whole


def check_level(level: float) -> None:
    """Refuse a level that no test has.

    Raises:
        InputError: If it is not above 0 and below 0.5.
    """
    if not 0 < level < 0.5:
        raise InputError(
            f"Expected argument `level` above 0 and below 0.5, but got {level}. Take 0.02, or "
            "less for fewer answers that differ from those of all trials."
        )


def rounds_of(min_trials: int, max_trials: int, growth: float) -> tuple[int, ...]:
    """Cumulative numbers of trials after each round.

    Args:
        min_trials: Trials before the first test, at least 2.
        max_trials: Trials at most.
        growth: Factor between rounds, above 1.

    Raises:
        InputError: If an argument is out of range.

    Example:
        >>> rounds_of(5, 40, 2.0)
        (5, 10, 20, 40)
    """
    for name, number in (("min_trials", min_trials), ("max_trials", max_trials)):
        check_whole(name, number)
    if not 2 <= min_trials <= max_trials:
        raise InputError(
            "Expected argument `min_trials` to be at least 2 and at most `max_trials`, but got "
            f"min_trials={min_trials} and max_trials={max_trials}. Take 3, and more trials in "
            "all."
        )
    if not 1 < growth < math.inf:
        raise InputError(
            f"Expected argument `growth` above 1 and finite, but got {growth}. Take 1.5, or 2 "
            "for fewer rounds."
        )
    ratio = max_trials / min_trials
    rounds = max(1, round(math.log(ratio) / math.log(growth)))
    return tuple(sorted({round(min_trials * ratio ** (r / rounds)) for r in range(rounds + 1)}))
