"""Figure 3: how often the error at a single timestep alone names the right class."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffclf_lightning.errors import InputError
from diffclf_lightning.figures.stored import Pool
from diffclf_lightning.metrics import clopper_pearson


@dataclass(frozen=True)
class SingleTimes:
    """Accuracy of single timesteps, each array of shape ``(times,)``.

    Args:
        time: The times, in order.
        noises: Number of trials at each time.
        accuracy: Share of right answers, over images and noises.
        lower: Lower end of the 99.5% Clopper-Pearson interval of so many images, since the noises
            of one image say little that is new of it.
        upper: Upper end.
        images: Number of images.
    """

    time: NDArray[np.float64]
    noises: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    images: int

    def records(self) -> list[dict[str, Any]]:
        """Rows of a CSV file."""
        arrays = vars(self) | {"images": np.full(len(self.time), self.images)}
        return [dict(zip(arrays, row, strict=True)) for row in _rows(arrays)]

    @property
    def best(self) -> float:
        """The time of highest accuracy, the middle one of equals."""
        highest = np.flatnonzero(self.accuracy == self.accuracy.max())
        return float(self.time[highest[len(highest) // 2]])


def single_times(pool: Pool) -> SingleTimes:
    """Accuracy of the answer by one trial, for each time of a pool.

    Args:
        pool: The trials.

    Returns:
        The accuracies.

    Raises:
        InputError: If there are no images.
    """
    right, images = np.zeros(pool.trials), 0
    for block in pool.blocks():
        right += pool.right(block.values, block.truth).sum(dim=0, dtype=torch.float64).numpy()
        images += len(block.truth)
    if not images:
        raise InputError(f"Expected images of {pool.set_name!r}, but the run holds none.")
    time, place, noises = np.unique(pool.times, return_inverse=True, return_counts=True)
    mean = np.bincount(place, weights=right) / noises
    intervals = [clopper_pearson(round(count), images) for count in mean.tolist()]
    return SingleTimes(
        time,
        noises,
        mean / images,
        np.array([interval.lower for interval in intervals]),
        np.array([interval.upper for interval in intervals]),
        images,
    )


def _rows(arrays: dict[str, Any]) -> list[tuple[Any, ...]]:
    return list(zip(*(array.tolist() for array in arrays.values()), strict=True))
