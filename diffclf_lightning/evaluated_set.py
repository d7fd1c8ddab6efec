"""EvaluatedSet: a set under evaluation, as one rank sees it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from diffclf_lightning.answers import Predictions
from diffclf_lightning.errors import InputError
from diffclf_lightning.ranks import of_all_ranks
from diffclf_lightning.results import COMMON, StoredRows, rows_of
from diffclf_lightning.tasks import Task


@dataclass
class EvaluatedSet:
    """A set under evaluation.

    Args:
        name: Name of the set.
        task: What it asks.
        prepared: What the classifier prepared for it.
        evaluations_per_image: Evaluations an image, at most; None where samples bring candidates.
        indices: Index in the data set of each sample to come, -1 for a repeat; None when unknown.
        rank: This rank.
        candidate_labels: Labels that the set can hold, merged where an entry is a sequence; None
            for all.
    """

    name: str
    task: Task
    prepared: Any
    evaluations_per_image: int | None
    indices: list[int] | None
    rank: int
    candidate_labels: Sequence[int | Sequence[int]] | None = None
    position: int = 0
    skipped: int = 0
    _new: list[pa.Table] = field(default_factory=list)
    _seen: dict[str, str] = field(default_factory=dict)
    _completed: list[int] = field(default_factory=list)
    _named: bool = False
    """Whether keys are those of the samples, and not of the order in which they came."""
    _right: int = 0
    _known: int = 0

    @property
    def num_images(self) -> int | None:
        """Number of samples of this rank, or None when unknown."""
        return None if self.indices is None else len(self.indices) - self.indices.count(-1)

    def take(
        self, size: int, keys: Sequence[str] | None, readable: Sequence[bool] | None
    ) -> list[tuple[int, str]]:
        """Row and key of the samples of the next batch, less repeats and unreadable ones.

        Args:
            size: Number of samples.
            keys: Their own keys, where they have some.
            readable: Whether each could be read. Defaults to None: all.
        """
        own: list[tuple[int, str]] = []
        for row in range(size):
            index = self.position if self.indices is None else self.indices[self.position]
            self.position += 1
            if index < 0:
                continue
            if readable is not None and not readable[row]:
                self.skipped += 1
                continue
            name = str(index) if self.indices is not None else f"unordered-{self.rank}-{index}"
            own.append((row, name if keys is None else str(keys[row])))
        self._named = keys is not None or self.indices is not None
        return own

    def left(
        self, keys: Sequence[str], digests: Sequence[str], completed: StoredRows | None
    ) -> list[int]:
        """Places of the samples that have no stored row.

        Raises:
            InputError: If a stored row is of another image, or has another label.
        """
        new = []
        for place, (key, digest) in enumerate(zip(keys, digests, strict=True)):
            self._check_once(key, digest)
            row = completed.place(key) if completed is not None and self._named else None
            if row is None or completed is None:
                new.append(place)
            elif completed.digest(row) != digest:
                raise InputError(
                    f"Expected image {key!r} to be the one that the folder of results holds, but "
                    "got other pixels or another label. The data is not that of the earlier run: "
                    "choose another `results.folder`."
                )
            else:
                self._completed.append(row)
        return new

    def _check_once(self, key: str, digest: str) -> None:
        if self._seen.setdefault(key, digest) != digest:
            raise InputError(
                f"Expected a `key` of its own for every sample of set {self.name!r}, but got "
                f"{key!r} for two different ones. Name samples by their path, for instance."
            )

    def count(self, predictions: Predictions, columns: Sequence[str]) -> None:
        """Keep what reports need of the rows of a batch.

        Args:
            predictions: The rows.
            columns: Columns that reports need.
        """
        rows = rows_of(predictions, self.task.schema)
        self._new.append(rows.select([*COMMON.names, *columns]))
        right = self.task.right(predictions.columns)
        if right is not None:
            self._right, self._known = self._right + int(right.sum()), self._known + len(right)

    def gathered(self, completed: StoredRows | None) -> pa.Table:
        """Rows of all ranks, each sample once, stored ones among them.

        Args:
            completed: Stored rows of the set.

        Returns:
            The rows, by key.
        """
        tables = list(self._new)
        if self._completed and completed is not None:
            tables.append(completed.rows.take(self._completed))
        every = [table for tables in of_all_ranks(tables) for table in tables]
        if not every:
            return pa.table({"key": pa.array([], pa.string())})
        names = every[0].schema.names
        rows = pa.concat_tables([table.select(names) for table in every]).sort_by("key")
        once: dict[str, int] = {}
        for place, (key, digest) in enumerate(
            zip(rows["key"].to_pylist(), rows["digest"].to_pylist(), strict=True)
        ):
            self._check_once(key, digest)  # of other ranks
            once.setdefault(key, place)
        return rows.take(list(once.values()))

    def skipped_of_all(self) -> int:
        """Number of samples of all ranks that could not be read."""
        return sum(of_all_ranks(self.skipped))

    def running_accuracy(self) -> float | None:
        """Accuracy of this rank so far, or None before the first sample with a known answer."""
        return self._right / self._known if self._known else None
