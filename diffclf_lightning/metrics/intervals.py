"""Exact binomial intervals."""

from dataclasses import dataclass

from scipy.special import betaincinv

from diffclf_lightning.errors import InputError

ALPHA = 0.005
"""One minus the confidence: 99.5%, as in Taori et al. (2020)."""


@dataclass(frozen=True)
class Interval:
    """Lower and upper end, as fractions."""

    lower: float
    upper: float


def clopper_pearson(correct: int, total: int, alpha: float = ALPHA) -> Interval:
    """Clopper-Pearson interval of an accuracy.

    Args:
        correct: Number of correct images.
        total: Number of images.
        alpha: One minus the confidence.

    Returns:
        The interval; its lower end is 0 when no image is correct, its upper end 1 when all are.

    Raises:
        InputError: If not ``0 <= correct <= total`` with ``total`` at least 1.

    Example:
        >>> interval = clopper_pearson(5, 10, alpha=0.05)
        >>> f"{interval.lower:.4f} {interval.upper:.4f}"
        '0.1871 0.8129'
    """
    check_counts(correct, total)
    wrong = total - correct
    lower = betaincinv(correct, wrong + 1, alpha / 2) if correct else 0.0
    upper = betaincinv(correct + 1, wrong, 1 - alpha / 2) if wrong else 1.0
    return Interval(float(lower), float(upper))


def check_counts(correct: int, total: int) -> None:
    """Refuse impossible counts.

    Raises:
        InputError: If not ``0 <= correct <= total`` with ``total`` at least 1.
    """
    if not 0 <= correct <= total or total < 1:
        raise InputError(
            f"Expected 0 <= `correct` <= `total` and `total` of at least 1, but got "
            f"correct={correct} and total={total}."
        )
