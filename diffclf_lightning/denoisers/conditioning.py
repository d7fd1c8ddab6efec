"""Conditioning: the keyword tensors that a network is told a candidate by."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffclf_lightning.errors import InputError

SHARE = 0.25
"""Share of a device's free memory that conditioning may take before it stays on the CPU."""


class Conditioning(Mapping[str, Tensor]):
    """Keyword tensors of a network, one row a candidate; passed on as they are.

    Args:
        tensors: Tensors by keyword, each with one row a candidate. Those that differ in their
            second dimension (lengths of prompts) are padded with zeros when they are put together,
            and need a mask among them: whole numbers or bool of shape ``(candidates, tokens)``.
        shared: Keywords of tensors that are the same for all candidates and have no rows.

    Example:
        >>> told = Conditioning({"class_labels": torch.tensor([3, 1, 2])})
        >>> told.num_rows, dict(told.rows(torch.tensor([0, 0])))
        (3, {'class_labels': tensor([3, 3])})
    """

    def __init__(self, tensors: Mapping[str, Tensor], shared: Iterable[str] = ()) -> None:
        self._tensors, self.shared = dict(tensors), frozenset(shared)

    def __getitem__(self, keyword: str) -> Tensor:
        return self._tensors[keyword]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def num_rows(self) -> int:
        """Number of candidates."""
        return next(len(t) for keyword, t in self.items() if keyword not in self.shared)

    @property
    def num_bytes(self) -> int:
        """Memory that it takes, in bytes."""
        return sum(tensor.nbytes for tensor in self.values())

    def rows(self, index: Tensor) -> "Conditioning":
        """Candidates by their places ``index``, int64 of any length, on its device."""
        some = self._with_rows(lambda keyword: self[keyword][index.to(self[keyword].device)])
        return some.to(index.device)

    def to(self, device: torch.device) -> "Conditioning":
        """The same on a device."""
        moved = {keyword: tensor.to(device) for keyword, tensor in self.items()}
        return Conditioning(moved, self.shared)

    def where_it_fits(self, device: torch.device) -> "Conditioning":
        """The same on a device with room for it, else on the CPU, from where rows are moved."""
        if device.type == "cuda" and self.num_bytes > SHARE * torch.cuda.mem_get_info(device)[0]:
            return self.to(torch.device("cpu"))
        return self.to(device)

    def mean(self, sizes: Sequence[int]) -> "Conditioning":
        """As many consecutive rows averaged as each size says, to one row a size.

        States beside a mask are averaged at each place over the rows that have a token there. Of
        whole numbers and masks the largest is taken.
        """

        def mean(keyword: str) -> Tensor:
            parts = self[keyword].split(list(sizes))
            if not self[keyword].is_floating_point():
                return torch.stack([part.amax(dim=0) for part in parts])
            mask = self._mask_of(keyword)
            if mask is None:
                return torch.stack([part.mean(dim=0) for part in parts])
            masks = mask.bool().split(list(sizes))
            return torch.stack([_mean_of_read(*pair) for pair in zip(parts, masks, strict=True)])

        return self._with_rows(mean)

    def mixed(self, weights: Tensor) -> "Conditioning":
        """Mixtures of the candidates, one row of ``weights`` each, ``(mixtures, candidates)``.

        States beside a mask are mixed at each place among the candidates that have a token there,
        whose weights are scaled to one; where none has, they are zeros. Of whole numbers and masks
        the largest among the candidates with a weight is taken.
        """

        def mixed(keyword: str) -> Tensor:
            rows = self[keyword].to(weights.device)
            if rows.is_floating_point():
                return _mixed(weights, rows, self._mask_of(keyword))
            present = (weights > 0).reshape(*weights.shape, *(1,) * (rows.ndim - 1))
            return torch.where(present, rows.long(), rows.long().amin()).amax(dim=1).to(rows.dtype)

        return self._with_rows(mixed)

    def _mask_of(self, keyword: str) -> Tensor | None:
        """The mask of states: whole numbers, one a token; of several the one that follows them."""
        if keyword in self.shared or self[keyword].ndim < 3:
            return None
        names = list(self)
        place = names.index(keyword)
        for name in (*names[place:], *names[:place]):
            found = self[name]
            if (
                name not in self.shared
                and not found.is_floating_point()
                and found.shape == self[keyword].shape[:2]
            ):
                return found
        return None

    def replaced(self, drop: Tensor, other: "Conditioning") -> "Conditioning":
        """The same with the rows ``drop``, bool of shape ``(rows,)``, replaced by one row."""
        if set(self) != set(other):
            raise InputError(
                f"Expected conditioning by {', '.join(self)}, but got {', '.join(other)}. "
                "Conditions and 'nothing said' of a model must have the same keywords; without the "
                "latter set `label_dropout` to 0."
            )
        own, new = _padded([self, other])

        def replaced(keyword: str) -> Tensor:
            dropped = drop.reshape(-1, *(1,) * (self[keyword].ndim - 1))
            return torch.where(dropped, new[keyword], own[keyword])

        return self._with_rows(replaced)

    @staticmethod
    def cat(parts: Sequence["Conditioning"]) -> "Conditioning":
        """Rows of several put together, padded with zeros to the longest."""
        padded = _padded(parts)
        return parts[0]._with_rows(lambda keyword: torch.cat([part[keyword] for part in padded]))

    def _with_rows(self, made: Callable[[str], Tensor]) -> "Conditioning":
        """Other rows, made for each keyword, beside what is shared."""
        rows = {key: self[key] if key in self.shared else made(key) for key in self}
        return Conditioning(rows, self.shared)


def _padded(parts: Sequence[Conditioning]) -> list[dict[str, Tensor]]:
    """Tensors of each part, with second dimensions of one length."""
    padded: list[dict[str, Tensor]] = [dict(part) for part in parts]
    for keyword, tensor in parts[0].items():
        if keyword in parts[0].shared or tensor.ndim < 2:
            continue
        longest = max(part[keyword].shape[1] for part in parts)
        for tensors in padded:
            short = tensors[keyword]
            after = (0, 0) * (short.ndim - 2)  # pad counts dimensions from the last
            tensors[keyword] = pad(short, (*after, 0, longest - short.shape[1]))
    return padded


def _mean_of_read(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of rows at each place over those that the mask has there, or over all if it has none."""
    counted = (mask | ~mask.any(dim=0)).reshape(*mask.shape, *(1,) * (states.ndim - 2))
    total = torch.where(counted, states.float(), 0).sum(dim=0)
    return (total / counted.sum(dim=0)).to(states.dtype)


def _mixed(weights: Tensor, rows: Tensor, mask: Tensor | None) -> Tensor:
    """Rows by their weights, at each place of those that the mask has there, if there is one."""
    states = rows.float()
    with torch.autocast(weights.device.type, enabled=False):
        if mask is None:
            mixture = (weights.float() @ states.flatten(1)).reshape(-1, *rows.shape[1:])
            return mixture.to(rows.dtype)
        read = mask.to(weights.device).bool()
        states = torch.where(read.reshape(*read.shape, *(1,) * (rows.ndim - 2)), states, 0)
        mixture = (weights.float() @ states.flatten(1)).reshape(-1, *rows.shape[1:])
        share = weights.float() @ read.float()
        share = torch.where(share > 0, share, 1).reshape(*share.shape, *(1,) * (rows.ndim - 2))
        return (mixture / share).to(rows.dtype)
