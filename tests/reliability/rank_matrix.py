"""Ranks, and how their loaders share a set: every image counts once, or the run is refused.

Each rank is a forked process, told of the others as torchrun tells it. The classifier is a
closed-form one, each image a little off the mean of its class.
"""

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import forked
import pyarrow.parquet as pq
import torch
from lightning.pytorch import Trainer
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
    get_worker_info,
)

from diffclf_lightning import DiffusionClassifier, InputError
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.evaluation import Full
from diffclf_lightning.sharing import UNORDERED

EXACT, WARNED, REFUSED, WRONG = "exact", "warned", "refused", "wrong"
CLASSES, BATCH, PATIENCE = 5, 3, 60.0


@dataclass(frozen=True)
class Cell:
    """A run of some ranks.

    Args:
        ranks: Number of processes.
        source: Name of the loader, in :data:`SOURCES`.
        keys: Whether samples have keys of their own.
        images: Number of images of the set.
    """

    ranks: int
    source: str
    keys: bool
    images: int

    def __str__(self) -> str:
        keys = "keys" if self.keys else "no keys"
        return f"{self.ranks} ranks, {self.source}, {keys}, {self.images} images"


def label_of(index: int) -> int:
    return (index * index + 3) % CLASSES


@cache
def means() -> torch.Tensor:
    return torch.rand(CLASSES, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


class Images(Dataset[Any]):
    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    def __len__(self) -> int:
        return self.cell.images

    def __getitem__(self, index: int) -> Any:
        label = label_of(index)
        image = (means()[label] + 1) / 2 + 0.001 * (index + 1)
        if self.cell.keys:
            return {"image": image, "label": label, "key": f"image-{index}"}
        return image, label


class Stream(IterableDataset[Any]):
    """The same one after another, of every so many the one at a place."""

    def __init__(self, cell: Cell, rank: int = 0, ranks: int = 1, split: bool = True) -> None:
        self.images, self.rank, self.ranks, self.split = Images(cell), rank, ranks, split

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        number, workers = (
            (0, 1) if worker is None or not self.split else (worker.id, worker.num_workers)
        )
        first, step = self.rank * workers + number, self.ranks * workers
        return (self.images[index] for index in range(first, len(self.images), step))


class Drawing(Stream):
    """All of them, in another order each time."""

    def __iter__(self) -> Iterator[Any]:
        return (self.images[index] for index in torch.randperm(len(self.images)).tolist())


class Reversed(BatchSampler):
    """Batches of another order than their sampler's."""

    def __iter__(self) -> Iterator[list[int]]:
        return iter([batch[::-1] for batch in super().__iter__()][::-1])


def _drawn(cell: Cell, generator: torch.Generator | None = None) -> SubsetRandomSampler:
    return SubsetRandomSampler(range(cell.images), generator)


def _weighted(cell: Cell) -> WeightedRandomSampler:
    return WeightedRandomSampler([1.0] * cell.images, cell.images)


def _own(cell: Cell, rank: int) -> Subset[Any]:
    return Subset(Images(cell), range(rank, cell.images, cell.ranks))


def _batches(cell: Cell) -> BatchSampler:
    return Reversed(SequentialSampler(range(cell.images)), BATCH, False)


@dataclass(frozen=True)
class Source:
    """How a set is loaded, and what is to come of it.

    Args:
        loader: Makes the loader of a rank.
        keyed: What comes of it where samples have keys.
        keyless: The same where they have none.
        uneven: Whether that is so only where ranks and batches do not share the images evenly.
    """

    loader: Callable[[Cell, int], DataLoader[Any]]
    keyed: str = EXACT
    keyless: str = EXACT
    uneven: bool = False


SOURCES: dict[str, Source] = {
    "map-style": Source(lambda c, r: DataLoader(Images(c), BATCH)),
    "shuffled": Source(lambda c, r: DataLoader(Images(c), BATCH, shuffle=True)),
    "batches dropped": Source(
        lambda c, r: DataLoader(Images(c), BATCH, drop_last=True), WARNED, WARNED, uneven=True
    ),
    "listed sampler": Source(
        lambda c, r: DataLoader(Images(c), BATCH, sampler=list(range(c.images))[::-1])
    ),
    "subset sampler": Source(lambda c, r: DataLoader(Images(c), BATCH, sampler=_drawn(c))),
    "subset sampler, workers": Source(
        lambda c, r: DataLoader(Images(c), BATCH, sampler=_drawn(c), num_workers=1),
        REFUSED, REFUSED,
    ),
    "subset sampler, seeded workers": Source(
        lambda c, r: DataLoader(
            Images(c), BATCH, sampler=_drawn(c, torch.Generator().manual_seed(0)), num_workers=1
        )
    ),
    "weighted sampler": Source(
        lambda c, r: DataLoader(Images(c), BATCH, sampler=_weighted(c)), REFUSED, REFUSED
    ),
    "batch sampler": Source(
        lambda c, r: DataLoader(Images(c), batch_sampler=_batches(c)), EXACT, REFUSED
    ),
    "sharded twice": Source(lambda c, r: DataLoader(_own(c, r), BATCH), REFUSED, REFUSED),
    "iterable": Source(lambda c, r: DataLoader(Stream(c), BATCH), REFUSED, REFUSED),
    "iterable, drawn": Source(lambda c, r: DataLoader(Drawing(c), BATCH), WARNED, REFUSED),
    "iterable sharded": Source(lambda c, r: DataLoader(Stream(c, r, c.ranks), BATCH)),
    "iterable sharded, workers": Source(
        lambda c, r: DataLoader(Stream(c, r, c.ranks), BATCH, num_workers=2)
    ),
    "iterable sharded, workers not": Source(
        lambda c, r: DataLoader(Stream(c, r, c.ranks, split=False), BATCH, num_workers=2),
        REFUSED, REFUSED,
    ),
    "undistributed": Source(lambda c, r: DataLoader(Images(c), BATCH), REFUSED, REFUSED),
    "undistributed, drawn": Source(
        lambda c, r: DataLoader(Images(c), BATCH, shuffle=True), WARNED, REFUSED
    ),
    "undistributed, own share": Source(
        lambda c, r: DataLoader(_own(c, r), BATCH), EXACT, REFUSED
    ),
    "undistributed, own indices": Source(
        lambda c, r: DataLoader(Images(c), BATCH, sampler=range(r, c.images, c.ranks))
    ),
    "undistributed, batch sampler": Source(
        lambda c, r: DataLoader(Images(c), batch_sampler=_batches(c)), REFUSED, REFUSED
    ),
}  # fmt: skip


def cells() -> list[Cell]:
    """The whole matrix: two and three ranks, which share the images evenly and not."""
    return [
        Cell(ranks, source, keys, images)
        for ranks, source, keys, images in product((2, 3), SOURCES, (True, False), (18, 19))
    ]


def expected(cell: Cell) -> str:
    """What is to come of a cell."""
    source = SOURCES[cell.source]
    if source.uneven and cell.images % (BATCH * cell.ranks) == 0:
        return EXACT
    return source.keyed if cell.keys else source.keyless


def run(cell: Cell, folder: Path, command: str = "test") -> str:
    """Run a cell in a folder of its own: what came of it.

    Predictions have no report: whether they were exact is not said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs = forked.ranks(folder, cell.ranks, lambda rank: _rank(cell, rank, folder, command))
    ended = _ends(runs)
    said = "\n".join(end.stderr for end in ended)
    (folder / "said.txt").write_text(said)
    codes = {end.code for end in ended}
    if not codes <= {0, 2, -signal.SIGKILL}:
        return WRONG
    if 2 in codes:
        return REFUSED
    warned = "WARNED" in said
    missing = None if any(end.code for end in ended) else _missing(cell, folder)
    if missing is None or (missing and not warned):
        return WRONG
    return WARNED if warned else EXACT


def _rank(cell: Cell, rank: int, folder: Path, command: str) -> None:
    os.environ.pop("PL_GLOBAL_SEED", None)  # of another test, to which Lightning would go back
    torch.manual_seed(rank)  # ranks draw apart
    trainer = Trainer(
        accelerator="cpu", devices=cell.ranks, strategy="ddp", logger=False,
        enable_checkpointing=False, enable_progress_bar=False,
        callbacks=[ResultsWriter(folder / "results", thumbnails=0)],
        use_distributed_sampler=not cell.source.startswith("undistributed"),
    )  # fmt: skip
    classifier = DiffusionClassifier(GaussianDenoiser(means(), std=0.2), strategy=Full(4))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loader = SOURCES[cell.source].loader(cell, rank)
            if command == "predict":
                trainer.predict(classifier, loader, return_predictions=False)
            else:
                trainer.test(classifier, loader, verbose=False)
        except InputError as error:
            sys.stderr.write(f"REFUSED {error}\n")
            sys.exit(2)
    for one in caught:
        if "set 'test'" in str(one.message):
            sys.stderr.write(f"WARNED {one.message}\n")
    if rank == 0 and classifier.reports:
        (folder / "total.txt").write_text(str(classifier.reports["test"].total))


def _ends(ranks: list[forked.Forked]) -> list[forked.Ended]:
    """Wait for all; where one fails the others are ended, as torchrun does."""
    until = time.monotonic() + PATIENCE
    ended: dict[int, forked.Ended] = {}
    while len(ended) < len(ranks):
        for number, one in enumerate(ranks):
            if number not in ended and one.has_ended():
                ended[number] = one.end()
        if any(end.code for end in ended.values()) or time.monotonic() > until:
            time.sleep(0.5)  # the others say the same, if they can
            for number, one in enumerate(ranks):
                if number not in ended:
                    one.kill()
                    ended[number] = one.end()
        time.sleep(forked.INTERVAL)
    return [ended[number] for number in range(len(ranks))]


def _missing(cell: Cell, folder: Path) -> int | None:
    """Number of images that were not counted; None if rows and report do not have each once.

    Each under its own label, and its own name where it has one.
    """
    rows = pq.read_table(folder / "results" / "images.parquet").to_pylist()
    total = int((folder / "total.txt").read_text())
    named = [row for row in rows if not row["key"].startswith(UNORDERED)]
    once = total == len(rows) == len({row["digest"] for row in rows})
    right = all(row["prediction"] == row["label"] for row in rows) and all(
        row["label"] == label_of(int(row["key"].rpartition("-")[2])) for row in named
    )
    return cell.images - total if once and right and (named or not cell.keys) else None
