"""Ragged arrays: of every (image, candidate) pair the values of its first so many trials.

Values stand in one flat tensor, image by image, candidate by candidate, trial by trial, beside the
``counts`` of shape ``(images, candidates)``: what was never evaluated takes no memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

MOST_AT_ONCE = 2**21
"""Values for which indices are made at once, to bound the memory that they take."""


@dataclass(frozen=True)
class Part:
    """The values of some consecutive images.

    Args:
        images: Which images.
        values: Where their values stand.
        pair: Index among the pairs of these images of each value.
        trial: Index of the trial of each value.
    """

    images: slice
    values: slice
    pair: Tensor
    trial: Tensor


def starts(counts: Tensor) -> Tensor:
    """Where the values of each pair begin.

    Args:
        counts: Number of values of each pair, int64, of any shape.

    Returns:
        Positions, of the same shape.
    """
    flat = counts.flatten()
    return (flat.cumsum(0) - flat).reshape(counts.shape)


def parts(counts: Tensor, sizes: Sequence[int]) -> Iterator[Part]:
    """Cut a ragged array into parts of few values, each of whole images.

    Args:
        counts: Number of values of each pair, shape ``(images, candidates)``.
        sizes: Number of values of each image, so that the device need not be asked.

    Yields:
        The parts, in order.
    """
    ends = [0, *accumulate(sizes)]
    first = 0
    for image in range(1, len(ends)):
        if image < len(ends) - 1 and ends[image + 1] - ends[first] <= MOST_AT_ONCE:
            continue
        lengths = counts[first:image].flatten()
        total = ends[image] - ends[first]
        pairs = torch.arange(len(lengths), device=counts.device)
        pair = pairs.repeat_interleave(lengths, output_size=total)
        trial = torch.arange(total, device=counts.device) - starts(lengths)[pair]
        yield Part(slice(first, image), slice(ends[first], ends[image]), pair, trial)
        first = image


def added(counts: Tensor, more: Tensor, sizes: Sequence[int]) -> Tensor:
    """Which values of the sum of two ragged arrays come from the second.

    Args:
        counts: Counts of the first, shape ``(images, candidates)``.
        more: Counts of the second, whose values stand behind those of the same pair in the first.
        sizes: Number of values of each image in both together.

    Returns:
        Bool, shape ``(values,)``.
    """
    nothing = torch.zeros(0, dtype=torch.bool, device=counts.device)
    behind = [
        part.trial >= counts[part.images].flatten()[part.pair]
        for part in parts(counts + more, sizes)
    ]
    return torch.cat([nothing, *behind])


def merged(values: Tensor, new: Tensor, added: Tensor) -> Tensor:
    """Two ragged arrays in one.

    Args:
        values: Values of the first.
        new: Values of the second.
        added: From :func:`added`.

    Returns:
        All values.
    """
    every = values.new_empty(len(values) + len(new))
    return every.masked_scatter_(added, new).masked_scatter_(~added, values)


def dense(values: Tensor, counts: Tensor) -> Tensor:
    """The values with NaN where there is none.

    Args:
        values: Values of all pairs.
        counts: Their counts, shape ``(images, candidates)``.

    Returns:
        Shape ``(images, candidates, trials)`` with the largest count as the number of trials.
    """
    trials = int(counts.max()) if counts.numel() else 0
    filled = values.new_full((counts.numel(), trials), torch.nan)
    present = torch.arange(trials, device=counts.device) < counts.flatten()[:, None]
    return filled.masked_scatter_(present, values).reshape(*counts.shape, trials)
