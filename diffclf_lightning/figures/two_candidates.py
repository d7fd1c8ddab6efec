"""Figure 2: errors of two candidates of an image over time, for each noise, and their difference.

The trial fixes time and noise for both candidates. Errors of different noises differ far more than
the difference between the candidates does, since what the noise makes of both cancels.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclf_lightning.errors import InputError
from diffclf_lightning.figures.stored import ImageErrors, Pool


@dataclass(frozen=True)
class TwoCandidates:
    """The true class of an image and its best rival, each array of shape ``(trials,)``.

    Args:
        key: Name of the image.
        names: Of the true class and of the rival.
        time: Time of each trial, in order.
        noise: Number of the trial among those of its time, from 0.
        true: Errors of the true class.
        rival: Errors of the rival.
    """

    key: str
    names: tuple[str, str]
    time: NDArray[np.float64]
    noise: NDArray[np.int64]
    true: NDArray[np.float64]
    rival: NDArray[np.float64]

    @property
    def difference(self) -> NDArray[np.float64]:
        """Error of the rival less that of the true class at the same trial."""
        return self.rival - self.true

    @property
    def noises(self) -> int:
        """The most noises of a time."""
        return int(self.noise.max()) + 1

    @property
    def spreads(self) -> tuple[float, float] | None:
        """Standard deviation over the noises of a time, of the true errors and of differences.

        Each is the root of the mean variance over the times; None with one noise a time, which
        cannot be told from a change over time.
        """
        if self.noises < 2:
            return None
        place = np.unique(self.time, return_inverse=True)[1]
        true, difference = self.true, self.difference
        return _spread_within(true, place), _spread_within(difference, place)

    def records(self) -> list[dict[str, Any]]:
        """Rows of a CSV file."""
        arrays = {
            "time": self.time,
            "noise": self.noise,
            "error_true": self.true,
            "error_rival": self.rival,
            "difference": self.difference,
        }
        rows = zip(*(array.tolist() for array in arrays.values()), strict=True)
        common = {"key": self.key, "true": self.names[0], "rival": self.names[1]}
        return [{**common, **dict(zip(arrays, row, strict=True))} for row in rows]


def two_candidates(pool: Pool, key: str | None = None) -> TwoCandidates:
    """The errors of two candidates of an image.

    Args:
        pool: The trials.
        key: Name of the image. Defaults to None: that of the median margin between the best rival
            and the true class, over all images.

    Returns:
        The errors.

    Raises:
        InputError: If there is no such image.
    """
    if key is None:
        margins = [(_margin(pool, image), image.key) for image in pool.images()]
        if not margins:
            raise InputError(f"Expected images of {pool.set_name!r}, but the run holds none.")
        key = sorted(margins)[len(margins) // 2][1]
    image = next((image for image in pool.images() if image.key == key), None)
    if image is None:
        raise InputError(
            f"Expected --image to be the key of an image of {pool.set_name!r}, but got {key!r}. "
            "The column `key` of images.parquet has them."
        )
    true, rival = _pair(pool, image)
    order = np.argsort(pool.times, kind="stable")
    time = pool.times[order]
    values = image.values.double().numpy()[:, order]
    labels = pool.labels.tolist()
    names = [pool.classnames.get(labels[one], str(labels[one])) for one in (true, rival)]
    return TwoCandidates(
        key, (names[0], names[1]), time, _numbered(time), values[true], values[rival]
    )


def _pair(pool: Pool, image: ImageErrors) -> tuple[int, int]:
    """The best candidate of the true label, and the best of all others."""
    means = image.values.double().mean(dim=1)
    own = pool.labels == image.label
    if not own.any():
        raise InputError(
            f"Expected the true label of {image.key!r} among the candidates of {pool.set_name!r}, "
            f"but {image.label} is not. Name another image: --image."
        )
    best, rival = (int(means.masked_fill(other, float("inf")).argmin()) for other in (~own, own))
    return best, rival


def _margin(pool: Pool, image: ImageErrors) -> float:
    true, rival = _pair(pool, image)
    return float((image.values[rival] - image.values[true]).double().mean())


def _numbered(time: NDArray[np.float64]) -> NDArray[np.int64]:
    """The number of each entry of a sorted array among its equals."""
    counts = np.unique(time, return_counts=True)[1]
    return np.concatenate(_ranges(counts))


def _ranges(counts: Iterable[int]) -> list[NDArray[np.int64]]:
    return [np.arange(count) for count in counts]


def _spread_within(values: NDArray[np.float64], place: NDArray[np.int64]) -> float:
    """Standard deviation within groups, pooled over them."""
    number = np.bincount(place)
    means = np.bincount(place, weights=values) / number
    squares = float(np.square(values - means[place]).sum())
    return float(np.sqrt(squares / (number - 1).sum()))
