"""Clocks that the scripts share."""

import statistics
import time
from collections.abc import Callable

import torch


def wall_time(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of some work, the device's included."""
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def matmul_rate(device: torch.device, size: int = 8192, repeats: int = 20) -> float:
    """FLOP/s of a product of two square bf16 matrices, median over repeats after three."""
    a, b = torch.randn(2, size, size, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        a @ b
    times = [wall_time(lambda: a @ b, device) for _ in range(repeats)]
    return 2 * size**3 / statistics.median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
