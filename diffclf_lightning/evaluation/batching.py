"""Finds the number of evaluations that one forward pass should hold."""

import time
from collections.abc import Callable

import torch

LARGEST = 16384
GAIN = 1.05
"""A larger batch must be this much faster per evaluation, within two doublings, to be taken."""
CHEAP = 0.05
"""Passes of fewer seconds are doubled in any case: times so short say little on a busy machine."""


def find_evaluations_per_batch(
    forward: Callable[[int], object], *, largest: int = LARGEST, device: torch.device | None = None
) -> int:
    """The largest batch that fits in memory and still gains speed.

    Doubles the batch while it fits and the evaluations per second rise. The choice touches speed
    alone: results do not depend on it.

    Args:
        forward: Runs one forward pass of that many evaluations.
        largest: Upper bound, the number of evaluations there are.
        device: Device to wait for before the clock is read.

    Returns:
        Evaluations per batch, at least 1.

    Raises:
        torch.OutOfMemoryError: If not even one evaluation fits.
    """
    best, best_rate, size, seconds = 1, 0.0, 1, 0.0
    while size <= max(largest, 1) and (size <= 4 * best or seconds < CHEAP):
        try:
            seconds = _seconds(forward, size, device)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            torch.cuda.empty_cache()
            break
        rate = size / seconds
        if rate > GAIN * best_rate:
            best, best_rate = size, rate
        size *= 2
    return best


def _seconds(forward: Callable[[int], object], size: int, device: torch.device | None) -> float:
    """Shortest of three passes after a first that is not counted; one where passes are long."""
    shortest = torch.inf
    for repeat in range(4):
        _wait(device)
        start = time.perf_counter()
        forward(size)
        _wait(device)
        elapsed = time.perf_counter() - start
        if repeat or elapsed > 1:
            shortest = min(shortest, elapsed)
        if elapsed > 1:
            break
    return shortest


def _wait(device: torch.device | None) -> None:
    if device is not None and device.type != "cpu":
        getattr(torch, device.type).synchronize(device)
