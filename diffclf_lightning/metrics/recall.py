"""How well a shortlist ranks the true labels."""

import numpy as np
from numpy.typing import NDArray

PLACES = 1, 2, 5, 10, 20, 50, 100, 200, 500


def shortlist_recall(ranks: NDArray[np.int64], kept: NDArray[np.bool_]) -> dict[str, float]:
    """Share of images whose true label a shortlist keeps, and would keep.

    Args:
        ranks: Place of the true label's first candidate, 0 the first, shape ``(images,)``.
        kept: Whether it was kept, shape ``(images,)``.

    Returns:
        ``shortlist_recall``, and ``shortlist_recall_K`` for the first K candidates, up to the first
        K that loses none.

    Example:
        >>> shortlist_recall(np.array([0, 3]), np.array([True, False]))["shortlist_recall_2"]
        0.5
    """
    found = {"shortlist_recall": float(kept.mean())}
    for places in PLACES:
        share = float((ranks < places).mean())
        found[f"shortlist_recall_{places}"] = share
        if share == 1:
            break
    return found
