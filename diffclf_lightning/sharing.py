"""How ranks and workers share the images of a set, so that each counts once, or is refused.

Where the data set is one for all ranks and every order is known, that is certain before the first
image. Of any other loader the images tell: by their keys, or else by their digests.
"""

import hashlib
from collections.abc import Sequence
from itertools import count, product

from lightning.pytorch.utilities import rank_zero_warn

from diffclf_lightning.errors import InputError
from diffclf_lightning.ranks import Board

UNORDERED = "unordered-"
"""Begins the name of a sample without a key whose place in the data set is not known."""
LEAVE_IT_ON = "leave `use_distributed_sampler` of the Trainer on and give the loader the whole set"
SPLIT = (
    "Let an iterable data set give each process and each of its workers images of their own "
    f"(torch.distributed.get_rank, torch.utils.data.get_worker_info); with any other {LEAVE_IT_ON}."
)
Reader = tuple[int, int]
"""A rank and a worker of it."""
_runs = count()


class Sharing:
    """How a set is shared, as one rank sees it.

    Args:
        set_name: Name of the set.
        indices: Index in the data set of each sample of this rank, -1 for a repeat; None where
            that is not certain.
        size: Number of samples of the set, over all ranks; None where that is not certain.
        certain: Whether no image can come twice.
        needs_keys: Whether samples without keys cannot be told apart.
        repeats: Whether the loader may repeat images so that all ranks have as many.
        readers: Number of workers of each rank that should have images of their own.
        rank: This rank.
        ranks: Number of ranks.
    """

    def __init__(
        self,
        set_name: str,
        indices: list[int] | None = None,
        size: int | None = None,
        *,
        certain: bool = False,
        needs_keys: bool = False,
        repeats: bool = False,
        readers: int = 1,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.set_name, self.indices, self.size, self.certain = set_name, indices, size, certain
        self._needs_keys, self._repeats = needs_keys, repeats
        self._rank, self._ranks, self._readers, self._batches = rank, ranks, readers, 0
        self._board = Board(f"sharing-{next(_runs)}")
        self._unmet = set(product(range(ranks), range(readers)))
        self._begun: dict[str, Reader] = {}
        self._warned = False

    def check_named(self, keys: Sequence[str] | None) -> None:
        """Refuse samples that cannot be told apart.

        Args:
            keys: Their own keys, where they have some.

        Raises:
            InputError: If they have none and need some.
        """
        if keys is None and self._needs_keys:
            raise InputError(
                f"Expected samples of set {self.set_name!r} to have a `key`, since their loader "
                f"shares them among {self._ranks} processes in a way of its own, but got none. Let "
                "the data set return mappings with `key`, a name that is the same in every run, or "
                f"{LEAVE_IT_ON}."
            )

    def check_first(self, keys: Sequence[str], digests: Sequence[str]) -> None:
        """Refuse a rank or worker that begins as another does, as soon as both have begun.

        Args:
            keys: Names of the samples of the next batch.
            digests: Their digests.

        Raises:
            InputError: If it does.
        """
        if self.certain or self._repeats or not self._unmet:
            return
        if self._batches < self._readers:  # workers begin in turn
            self._board.put(f"{self._rank}/{self._batches}", _note(keys, digests))
        self._batches += 1
        for reader in sorted(self._unmet):
            note = self._board.read("/".join(map(str, reader)))
            if note is None:
                continue
            self._unmet.discard(reader)
            other = self._begun.setdefault(note, reader) if note else reader
            if other != reader:
                raise InputError(
                    f"{self._expected}, but {_and(other, reader)} begin with the same images. "
                    f"{SPLIT}"
                )

    def check_all(self, keys: Sequence[str], digests: Sequence[str]) -> None:
        """Refuse a set that was read several times, or warn where that may be.

        Args:
            keys: Names of the samples of all ranks.
            digests: Their digests.

        Raises:
            InputError: If half of the samples or more without keys are others once again.
        """
        if self.certain:
            return
        unnamed = [d for key, d in zip(keys, digests, strict=True) if key.startswith(UNORDERED)]
        alike, again = len(unnamed) - len(set(unnamed)), len(keys) - len(set(keys))
        if alike and 2 * alike >= len(unnamed):
            raise InputError(
                f"{self._expected}, but {alike} of {len(unnamed)} are others once again: the same "
                f"pixels and the same label. {SPLIT} If the set really has each so often, give "
                "samples a `key`."
            )
        if alike:
            self._warn(
                f"{alike} of the {len(unnamed)} images of set {self.set_name!r} are others once "
                "again, and all are counted: if the set itself does not have them so often, "
                "processes or workers share some. Give samples a `key`, and each counts once."
            )
        if again and not self._repeats:
            self._warn(
                f"{again} images of set {self.set_name!r} were evaluated more than once and are "
                f"counted once. {SPLIT}"
            )

    @property
    def _expected(self) -> str:
        return (
            f"Expected processes and workers to read images of their own of set {self.set_name!r}"
        )

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            rank_zero_warn(message)


def _and(one: Reader, other: Reader) -> str:
    if one[0] == other[0]:
        return f"workers {one[1]} and {other[1]} of process {one[0]}"
    return f"processes {one[0]} and {other[0]}"


def _note(keys: Sequence[str], digests: Sequence[str]) -> str:
    """What tells a batch from all others; empty where that cannot be told from one image alone."""
    unnamed = any(key.startswith(UNORDERED) for key in keys)
    told = digests if unnamed else keys
    if unnamed and len(set(told)) < 2:
        return ""
    return hashlib.blake2b(repr(list(told)).encode(), digest_size=16).hexdigest()
