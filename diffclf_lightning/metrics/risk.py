"""A choice whose error rate can be stated: Learn then Test (Angelopoulos et al. 2021)."""

import math
from collections.abc import Sequence

from scipy.stats import binom


def images_needed(error_rate: float, confidence: float) -> int:
    """Number of images, all of them right, that show an error rate.

    Args:
        error_rate: The error rate, in (0, 1).
        confidence: How sure that is, in (0, 1).

    Returns:
        The number.

    Example:
        >>> [images_needed(error_rate, 0.9) for error_rate in (0.01, 0.02, 0.05)]
        [230, 114, 45]
    """
    return math.ceil(math.log(1 - confidence) / math.log(1 - error_rate))


def last_within(
    errors: Sequence[int], images: int, error_rate: float, confidence: float
) -> int | None:
    """The last of some choices whose error rates are shown to be within a bound.

    Choices are tested one after another, the safest first, up to the first whose errors might as
    well be those of a higher error rate. So the chance that the one returned is beyond the bound
    is at most one minus the confidence, however many there are.

    Args:
        errors: Number of images on which each choice errs, the safest first.
        images: Number of images.
        error_rate: The bound, in (0, 1).
        confidence: How sure that is, in (0, 1).

    Returns:
        Its place, or None if not even the first is within the bound.

    Example:
        >>> last_within([0, 1, 2, 6, 0], 300, error_rate=0.02, confidence=0.9)
        2
    """
    last = None
    for place, wrong in enumerate(errors):
        if binom.cdf(wrong, images, error_rate) > 1 - confidence:
            break
        last = place
    return last
