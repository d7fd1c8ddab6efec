"""What the ranks of a run tell each other, how long they wait for it, and what each draws."""

import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import torch
from torch.distributed import distributed_c10d

from diffclf_lightning.errors import InputError, NeighbourError

Made = TypeVar("Made")
MOST = 200
"""Letters of an error of torch in a message."""


def of_all_ranks(value: Any) -> list[Any]:
    """The values of all ranks, by rank; every rank has to ask.

    Args:
        value: That of this rank, anything that can be pickled.

    Raises:
        NeighbourError: If another one has ended.
    """
    if not _joined():
        return [value]
    shared: list[Any] = [None] * torch.distributed.get_world_size()
    try:
        torch.distributed.all_gather_object(shared, value)
    except RuntimeError as error:
        raise NeighbourError(
            "Expected all processes of the run to meet, but the connection to another one is lost: "
            f"{_reason(error)}. What that one said last tells why it ended. What is stored stays, "
            "and the same command goes on from it."
        ) from error
    return shared


def _reason(error: RuntimeError) -> str:
    """The first sentence of torch's, less the file of its own that it names."""
    return re.sub(r"^\[[^]]*\] ", "", str(error)).partition(". ")[0][:MOST]


def on_first(rank: int, action: Callable[[], Made]) -> Made:
    """Do something on the first rank alone; every rank has to ask.

    Args:
        rank: This rank.
        action: What to do.

    Returns:
        What the first rank made of it, on all.

    Raises:
        InputError: If it raises one, on all.
    """
    made: Made | None = None
    error: InputError | None = None
    if rank == 0:
        try:
            made = action()
        except InputError as raised:
            error = raised
    made, error = of_all_ranks((made, error))[0]
    if error is not None:
        raise error
    return cast(Made, made)


def _joined() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


class Board:
    """Where ranks tell each other something without waiting for each other.

    Args:
        name: What it is called, the same on all ranks, and no other's.
    """

    def __init__(self, name: str) -> None:
        self._name, self._own = name, dict[str, str]()

    def put(self, topic: str, text: str) -> None:
        """Say something on a topic."""
        self._own[topic] = text
        if _joined():
            with suppress(RuntimeError):  # the rank that keeps it has ended
                distributed_c10d._get_default_store().set(f"{self._name}/{topic}", text)

    def read(self, topic: str) -> str | None:
        """What was said on a topic; None as long as nothing was."""
        if topic in self._own or not _joined():
            return self._own.get(topic)
        with suppress(RuntimeError):
            store = distributed_c10d._get_default_store()
            if store.check([f"{self._name}/{topic}"]):
                return bytes(store.get(f"{self._name}/{topic}")).decode()
        return None


def draw_apart(rank: int) -> None:
    """Have this rank draw other random numbers than all others, once, before training.

    Every rank starts from the seed of the run, and would show the network the same noise. The
    first one is left as it is: alone it draws what one process does.

    Args:
        rank: Number of this rank among all.
    """
    if rank:
        seed = (torch.initial_seed() + rank) % 2**63
        torch.manual_seed(seed)
        random.seed(seed)


class BusyTime:
    """Seconds that this rank is busy with each set: loading, evaluating and storing.

    Ranks meet when all sets are done, so that none waits for another before.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """Count the time since the last lap, or else since the beginning.

        Args:
            name: Name of the set that it was spent on.
        """
        now = time.perf_counter()
        self._seconds[name] = self._seconds.get(name, 0.0) + now - self._since
        self._since = now

    def of_all_ranks(self) -> dict[str, list[float]]:
        """Seconds by set, one number a rank; every rank has to ask."""
        shared = of_all_ranks(self._seconds)
        names = dict.fromkeys(name for seconds in shared for name in seconds)
        return {name: [seconds.get(name, 0.0) for seconds in shared] for name in names}


def waiting_share(busy: Sequence[float]) -> float:
    """Share of the time of all ranks that they wait for the slowest: ``1 - mean / max``.

    Args:
        busy: Seconds that each rank is busy.
    """
    longest = max(busy, default=0.0)
    return 1 - sum(busy) / len(busy) / longest if longest else 0.0


def whole(busy: Mapping[str, Sequence[float]]) -> list[float]:
    """Seconds that each rank is busy with all sets together.

    Args:
        busy: Seconds by set, one number a rank.
    """
    return [sum(seconds) for seconds in zip(*busy.values(), strict=True)]
