"""What a loader says of how it shares a set among ranks, before the first image.

All ranks tell each other; each then comes to the same answer.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from diffclf_lightning.errors import InputError
from diffclf_lightning.ranks import of_all_ranks
from diffclf_lightning.sampling import Drawn, batches_of, plain_sampler, sample_indices
from diffclf_lightning.sharing import LEAVE_IT_ON, Sharing

ONCE_EACH = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
"""Samplers that give no image twice, unless they draw with replacement."""
Told = tuple[int, str, str]


@dataclass(frozen=True)
class Read:
    """What a rank's loader will read.

    Args:
        dataset: What can be told of the data set: its length, and digests of its keys and indices.
        indices: Of :func:`sample_indices`.
        replicas: Among how many ranks the sampler shares a data set; None if it does not.
        whole: Number of images that its sampler, or all of the ranks' together, should give.
    """

    dataset: Told
    indices: list[int] | None
    replicas: int | None
    whole: int

    @classmethod
    def of(cls, loader: DataLoader[Any]) -> "Read":
        """That of a loader of a data set with indices."""
        sampler = _sampler(loader)
        sharing = isinstance(sampler, DistributedSampler)
        indices = sample_indices(loader)
        whole = 0 if indices is None else len(sampler.dataset if sharing else sampler)
        replicas = sampler.num_replicas if sharing else None
        return cls(_told(loader.dataset), indices, replicas, whole)


def shared(loader: Any, set_name: str, rank: int) -> Sharing:
    """How the ranks share a set; every rank has to ask.

    Args:
        loader: This rank's loader.
        set_name: Name of the set.
        rank: This rank.

    Raises:
        InputError: If images would count twice, or be missed, as far as loaders say.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        ranks = len(of_all_ranks(None))
        readers = max(1, getattr(loader, "num_workers", 0))
        certain = ranks * readers == 1
        return Sharing(set_name, certain=certain, readers=readers, rank=rank, ranks=ranks)
    _refuse_replacement(loader, set_name)
    _fix_order(loader, set_name)
    reads: list[Read] = of_all_ranks(Read.of(loader))
    ranks, own = len(reads), reads[rank if len(reads) > 1 else 0]
    sharded = own.replicas is not None
    if ranks > 1 and sharded:
        _check_sampler(reads, set_name)
    if _known(reads, set_name):
        whole = _warn_of_missing(reads, set_name)
        return Sharing(set_name, own.indices, whole, certain=True, rank=rank, ranks=ranks)
    drawn = ranks == 1 and isinstance(plain_sampler(loader), ONCE_EACH)
    return Sharing(
        set_name, certain=drawn, needs_keys=ranks > 1, repeats=sharded, rank=rank, ranks=ranks
    )


def _sampler(loader: DataLoader[Any]) -> Any:
    """The innermost sampler that a loader shows."""
    return getattr(batches_of(loader), "sampler", loader.sampler)


def _refuse_replacement(loader: DataLoader[Any], set_name: str) -> None:
    sampler = _sampler(loader)
    drawn = Drawn.of(loader)
    sampler = sampler if drawn is None else drawn.sampler
    if getattr(sampler, "replacement", False):
        raise InputError(
            f"Expected a sampler of set {set_name!r} that gives each image once, but got "
            f"{type(sampler).__name__} with replacement. Leave it to training, and give this "
            "loader none."
        )


def _fix_order(loader: DataLoader[Any], set_name: str) -> None:
    """Let all ranks share the order that one of them draws, where each would draw its own."""
    drawn = Drawn.of(loader)
    told = of_all_ranks(None if drawn is None else (drawn.begun, drawn.order()))
    if drawn is None:
        return
    orders = [order for _, order in filter(None, told)]
    if any(begun for begun, _ in filter(None, told)) and any(o != orders[0] for o in orders):
        raise InputError(
            f"Expected the sampler of set {set_name!r} to draw the same order in all "
            f"{len(orders)} processes, but got {type(drawn.sampler).__name__} with an order in "
            "each. Give it a `generator` of a fixed seed, give a list of indices as the sampler, "
            "or set `num_workers` to 0."
        )
    drawn.fix(orders[0])


def _check_sampler(reads: Sequence[Read], set_name: str) -> None:
    """Refuse ranks whose samplers share other sets than one, or for others than these ranks."""
    replicas = {read.replicas for read in reads}
    if replicas != {len(reads)}:
        found = ", ".join(str(number) for number in sorted(replicas, key=str))
        raise InputError(
            f"Expected a sampler of set {set_name!r} that shares it among {len(reads)} processes, "
            f"but got {found} (`num_replicas`). Leave the sampler out: the Trainer gives one."
        )
    if len({read.dataset for read in reads}) > 1:
        raise InputError(
            f"Expected the same data set {set_name!r} in all processes, since the Trainer's "
            "sampler gives each its share, but got others: images would be missed. Give all the "
            "whole set, or share it alone (`use_distributed_sampler` of the Trainer false, and a "
            "`key` for every sample)."
        )


def _known(reads: Sequence[Read], set_name: str) -> bool:
    """Whether all ranks read one data set in a known order, and no image twice.

    Raises:
        InputError: If they certainly read images twice.
    """
    if len({read.dataset for read in reads}) > 1 or any(read.indices is None for read in reads):
        return False
    if len(reads) == 1:
        return True
    given = [index for read in reads for index in read.indices or () if index >= 0]
    twice = len(given) - len(set(given))
    has_keys = bool(reads[0].dataset[1])
    if twice and (reads[0].replicas is not None or has_keys):
        raise InputError(
            f"Expected each image of set {set_name!r} in one of the {len(reads)} processes, but "
            f"{twice} would be read more than once. To share the set, {LEAVE_IT_ON}, without a "
            "sampler."
        )
    return not twice


def _warn_of_missing(reads: Sequence[Read], set_name: str) -> int:
    """Say how many images are left out; returns the number of all."""
    whole = reads[0].whole if reads[0].replicas else sum(read.whole for read in reads)
    given = {index for read in reads for index in read.indices or () if index >= 0}
    if len(given) < whole:
        rank_zero_warn(
            f"{whole - len(given)} of the {whole} images of set {set_name!r} are left out: the "
            "loader drops a batch that is not full (`drop_last`), or its sampler repeats or leaves "
            "out images. Give it `drop_last=False` and no sampler to count all."
        )
    return whole


def _told(dataset: Any) -> Told:
    length = len(dataset) if hasattr(dataset, "__len__") else 0
    keys, places = getattr(dataset, "keys", None), list[Any]()
    part = dataset
    while isinstance(part, Subset):
        places.append(list(part.indices))
        part = part.dataset
    named = isinstance(keys, Sequence) and not isinstance(keys, str)
    return length, _short(keys) if named else "", _short(places)


def _short(values: Any) -> str:
    return hashlib.blake2b(repr(list(values)).encode(), digest_size=16).hexdigest()
