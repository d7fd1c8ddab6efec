"""Which images a rank sees, so that each counts exactly once.

:class:`torch.utils.data.DistributedSampler`, which Lightning puts into a loader, repeats images
until all ranks have as many. Position ``p`` of rank ``r`` of ``W`` stands at ``p W + r`` in the
padded order; whatever stands behind the length of the data set is a repeat.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils.data import DistributedSampler, SequentialSampler

from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import text_of


def named_loaders(loaders: Any, prefix: str) -> dict[str, Any]:
    """Loaders by set name, in the order in which Lightning numbers them.

    Args:
        loaders: A loader, a sequence of loaders, or a mapping from names to loaders.
        prefix: Name of a loader that has none.

    Raises:
        InputError: If two sets have the same name.
    """
    if isinstance(loaders, Mapping):
        named = {text_of(name): loader for name, loader in loaders.items()}
        if len(named) < len(loaders):
            raise InputError(
                f"Expected sets of different names, but got {', '.join(map(repr, loaders))}, of "
                "which two read the same. Rename one."
            )
        return named
    if isinstance(loaders, Sequence):
        names = [prefix] if len(loaders) == 1 else [f"{prefix}_{i}" for i in range(len(loaders))]
        return dict(zip(names, loaders, strict=True))
    return {prefix: loaders}


def number_of_samples(loader: Any) -> int | None:
    """Number of samples of a set, over all ranks; None where it cannot be known.

    Args:
        loader: A loader of the set, of any rank.
    """
    sampler = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
    if isinstance(sampler, SequentialSampler):
        return len(sampler)
    dataset: Any = sampler.dataset if isinstance(sampler, DistributedSampler) else None
    return None if dataset is None else len(dataset)


def sample_indices(loader: Any) -> list[int] | None:
    """Index in the data set of each image that this rank's loader gives, in order.

    Returns:
        Indices, -1 for an image that is a repeat; None where the order cannot be known (an
        iterable data set, or a sampler that draws anew each time).
    """
    sampler = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
    if isinstance(sampler, SequentialSampler):
        return list(range(len(sampler)))
    if not isinstance(sampler, DistributedSampler):
        return None
    indices = [int(i) for i in sampler]
    dataset: Any = sampler.dataset
    length, world = len(dataset), sampler.num_replicas
    return [
        index if position * world + sampler.rank < length else -1
        for position, index in enumerate(indices)
    ]
