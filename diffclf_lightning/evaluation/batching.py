"""Finds the number of evaluations that one forward pass should hold."""

import time
from collections.abc import Callable

import torch

LARGEST = 16384
GAIN = 1.05
"""A larger batch must be this much faster per evaluation, within two doublings, to be taken."""
CHEAP = 0.05
"""Passes of fewer seconds are doubled in any case: times so short say little on a busy machine."""
MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
"""What torch says where memory ends: of MPS, CPU and cuBLAS it is no error of its own."""


def find_evaluations_per_batch(
    forward: Callable[[int], object], *, largest: int = LARGEST, device: torch.device | None = None
) -> int:
    """The largest batch that fits in memory and still gains speed.

    Doubles the batch, up to ``largest``, while it fits and the evaluations per second rise. The
    choice touches speed alone: results do not depend on it.

    Args:
        forward: Runs one forward pass of that many evaluations.
        largest: Upper bound, the number of evaluations there are.
        device: Device to wait for before the clock is read.

    Returns:
        Evaluations per batch, at least 1.

    Raises:
        torch.OutOfMemoryError: If not even one evaluation fits.
    """
    best, best_rate, seconds = 1, 0.0, 0.0
    largest = max(largest, 1)
    for size in [*(2**k for k in range((largest - 1).bit_length())), largest]:
        if size > 4 * best and seconds >= CHEAP:
            break
        try:
            seconds = _seconds(forward, size, device)
        except RuntimeError as error:
            if size == 1 or not is_lack_of_memory(error):
                raise
            torch.cuda.empty_cache()
            break
        rate = size / seconds
        if rate > GAIN * best_rate:
            best, best_rate = size, rate
    return best


def is_lack_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that a device has no memory left."""
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(words in said for words in MEMORY)


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
