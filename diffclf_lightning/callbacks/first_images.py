"""FirstImages: the first images of each set in its order, whoever evaluated them, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from diffclf_lightning.answers import Predictions, as_batch
from diffclf_lightning.evaluated_set import EvaluatedSet
from diffclf_lightning.ranks import of_all_ranks
from diffclf_lightning.results import RunFolder

COLUMNS = ("scores", "standard_errors", "prediction", "label")


@dataclass(frozen=True)
class Shown:
    """An image, and what became of it.

    Args:
        key: Its name in the set.
        image: uint8, or floating point in [0, 1], shape ``(channels, height, width)``.
        columns: Its row; None as long as that is only stored.
    """

    key: str
    image: Tensor
    columns: Mapping[str, Any] | None


@dataclass
class FirstImages:
    """Keeps the first images of each set, those that an earlier run answered too.

    Position ``p`` of rank ``r`` of ``W`` stands at ``p W + r``: each keeps its share of them.

    Args:
        most: Number of images of a set.
        ranks: Number of ranks.
    """

    most: int
    ranks: int = 1
    _shown: dict[str, list[Shown]] = field(default_factory=dict)

    def add(self, batch: Any, predictions: Predictions | None, current: EvaluatedSet) -> None:
        """Keep what is still wanted of a batch.

        Args:
            batch: What the loader gave.
            predictions: What became of it; None where all was stored before.
            current: Its set.
        """
        image = as_batch(batch).get("image")
        if not isinstance(image, Tensor):
            return
        shown = self._shown.setdefault(current.name, [])
        wanted = -(-self.most // self.ranks) - len(shown)
        places = {} if predictions is None else {k: i for i, k in enumerate(predictions.keys)}
        for row, key in current.taken[:wanted]:
            place = places.get(key)
            known = None if place is None or predictions is None else _row(predictions, place)
            shown.append(Shown(key, image[row].cpu(), known))

    def of_all_ranks(self) -> dict[str, list[Shown]]:
        """The images by set, in their order; every rank has to ask."""
        shared = of_all_ranks(self._shown)
        names = dict.fromkeys(chain.from_iterable(shared))
        found: dict[str, list[Shown]] = {}
        for name in names:
            ranks = [own.get(name, []) for own in shared]
            longest = max(map(len, ranks))
            order = [own[place] for place in range(longest) for own in ranks if place < len(own)]
            found[name] = order[: self.most]
        return found


def answered(name: str, shown: Sequence[Shown], run: RunFolder | None) -> list[Shown]:
    """The images with their rows, read from the folder of the run where an earlier one stored them.

    Args:
        name: Name of the set.
        shown: The images.
        run: The folder, or None.

    Returns:
        Those that have a row.
    """
    missing = [one.key for one in shown if one.columns is None]
    stored: dict[str, Mapping[str, Any]] = {}
    if missing and run is not None:
        here = (pc.field("set") == name) & pc.field("key").isin(pa.array(missing, pa.string()))
        for rows in run.batches(COLUMNS):
            stored |= {row["key"]: _stored(row) for row in rows.filter(here).to_pylist()}
    known = [Shown(s.key, s.image, s.columns or stored.get(s.key)) for s in shown]
    return [one for one in known if one.columns is not None]


def _row(predictions: Predictions, place: int) -> dict[str, Any]:
    """Columns of one image, as :func:`draw_errors` takes them."""
    return {
        name: None if (values := predictions[name]) is None else values[place : place + 1]
        for name in COLUMNS
    }


def _stored(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if row[name] is None else torch.tensor([row[name]]) for name in COLUMNS}
