"""Which images a rank's loader gives, so that each counts exactly once.

:class:`torch.utils.data.DistributedSampler`, which Lightning puts into a loader, repeats images
until all ranks have as many. Position ``p`` of rank ``r`` of ``W`` stands at ``p W + r`` in the
padded order; whatever stands behind the length of the data set is a repeat. Samplers of the user's
own Lightning wraps: the order that they draw takes the place of the data set.
"""

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any

import numpy as np
from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from lightning.pytorch.overrides.distributed import (
    UnrepeatedDistributedSampler,
    UnrepeatedDistributedSamplerWrapper,
)
from torch import Tensor
from torch.utils.data import BatchSampler, DistributedSampler, SequentialSampler

from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import text_of

WRAPPERS = (DistributedSamplerWrapper, UnrepeatedDistributedSamplerWrapper)
SHARDING = (DistributedSampler, UnrepeatedDistributedSampler, *WRAPPERS)


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


def batches_of(loader: Any) -> Any:
    """Batch sampler of a loader, without what Lightning puts around it to predict; or None."""
    batches = getattr(loader, "batch_sampler", None)
    return getattr(batches, "_batch_sampler", batches)


def plain_sampler(loader: Any) -> Any:
    """Sampler of a loader that batches samples in their order; None of any other loader."""
    batches = batches_of(loader)
    return batches.sampler if type(batches) is BatchSampler else None


def is_ordered(sampler: Any) -> bool:
    """Whether a sampler gives the same order each time."""
    listed = isinstance(sampler, Sequence | np.ndarray | Tensor)
    return listed or type(sampler) is SequentialSampler


class Drawn:
    """The order of a sampler that Lightning has wrapped for several ranks.

    Args:
        wrapper: Lightning's wrapper.
    """

    def __init__(
        self, wrapper: DistributedSamplerWrapper | UnrepeatedDistributedSamplerWrapper
    ) -> None:
        self._source: Any = wrapper.dataset

    @classmethod
    def of(cls, loader: Any) -> "Drawn | None":
        """That of a loader; None where its order is not drawn, or drawn by something else."""
        sampler = plain_sampler(loader)
        drawn = cls(sampler) if type(sampler) in WRAPPERS else None
        return None if drawn is None or is_ordered(drawn.sampler) else drawn

    @property
    def sampler(self) -> Any:
        """The user's sampler."""
        return self._source._sampler

    @property
    def begun(self) -> bool:
        """Whether the loader reads already: workers do before the first batch is asked for."""
        return self._source._sampler_list is not None

    def order(self) -> list[int]:
        """The order of the loader that reads, or else a new one."""
        return list(self._source._sampler_list if self.begun else self.sampler)

    def fix(self, order: Sequence[int]) -> None:
        """Let the loader read in an order, now and later."""
        self._source._sampler = list(order)


def sample_indices(loader: Any) -> list[int] | None:
    """Index in the data set of each image that this rank's loader gives, in order.

    Returns:
        Indices, -1 for an image that is a repeat; None where the order cannot be known (an
        iterable data set, or a sampler or batch sampler that may draw anew each time).
    """
    sampler = plain_sampler(loader)
    shared = type(sampler) in SHARDING and Drawn.of(loader) is None
    if not shared and not is_ordered(sampler):
        return None
    try:
        indices = [index(place) for place in sampler]
    except TypeError:  # names of samples, for instance
        return None
    if shared:
        length, world = len(sampler.dataset), sampler.num_replicas
        own = range(sampler.rank, sampler.rank + world * len(indices), world)
        indices = [i if place < length else -1 for place, i in zip(own, indices, strict=True)]
    batches = batches_of(loader)
    if batches.drop_last:
        del indices[len(indices) // batches.batch_size * batches.batch_size :]
    return indices
