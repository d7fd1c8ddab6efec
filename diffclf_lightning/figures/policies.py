"""Policies: which of the trials that there are, if only some may be spent."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from diffclf_lightning.evaluation import GoldenGrid, golden_order


class Policy(ABC):
    """Chooses trials by their times."""

    name: str

    @abstractmethod
    def choose(
        self, times: NDArray[np.float64], number: int, random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Places of different trials.

        Args:
            times: Times of the trials that there are, in order; some may be equal.
            number: Number of trials to choose, at most as many as there are.
            random: For policies that draw.

        Returns:
            The places, shape ``(number,)``.
        """


class Nearest(Policy):
    """The trials nearest to a few values, which take turns.

    Args:
        name: What it is called.
        values: The values, in [0, 1].

    Example:
        >>> times = np.arange(10) / 10
        >>> Nearest("ends", (0, 1)).choose(times, 4, np.random.default_rng(0))
        array([0, 9, 1, 8])
    """

    def __init__(self, name: str, values: Sequence[float]) -> None:
        self.name, self.values = name, tuple(values)

    def choose(
        self, times: NDArray[np.float64], number: int, random: np.random.Generator
    ) -> NDArray[np.int64]:
        gaps = np.array([np.abs(times - value) for value in self.values])
        queues = [iter(order) for order in gaps.argsort(axis=1, kind="stable").tolist()]
        taken: dict[int, None] = {}
        while len(taken) < number:
            queue = queues[len(taken) % len(queues)]
            taken[next(place for place in queue if place not in taken)] = None
        return np.array(list(taken), dtype=np.int64)


class EvenlySpaced(Policy):
    """One trial from the middle of each of as many equal shares of the times."""

    name = "evenly spaced"

    def choose(
        self, times: NDArray[np.float64], number: int, random: np.random.Generator
    ) -> NDArray[np.int64]:
        return ((2 * np.arange(number) + 1) * len(times)) // (2 * number)


class Golden(Policy):
    """Steps of the golden ratio, as :class:`GoldenGrid` takes its times."""

    name = "golden ratio"

    def choose(
        self, times: NDArray[np.float64], number: int, random: np.random.Generator
    ) -> NDArray[np.int64]:
        return np.array(_golden_places(len(times))[:number], dtype=np.int64)


class UniformRandom(Policy):
    """Drawn without replacement."""

    name = "uniform random"

    def choose(
        self, times: NDArray[np.float64], number: int, random: np.random.Generator
    ) -> NDArray[np.int64]:
        return random.choice(len(times), number, replace=False)


POLICIES: tuple[Policy, ...] = (
    EvenlySpaced(),
    Nearest("smallest t", (0.0,)),
    Nearest("nearest to t = 1/2", (0.5,)),
    Nearest("nearest to t = 0, 1/2, 1", (0.5, 0.0, 1.0)),
    Golden(),
    UniformRandom(),
)
"""Those of the figure, the one that the others are held against first."""


@lru_cache(maxsize=64)
def _golden_places(number: int) -> tuple[int, ...]:
    return tuple(int(time * number) for time in golden_order(number, GoldenGrid().offset))
