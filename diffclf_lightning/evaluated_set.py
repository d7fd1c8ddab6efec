"""EvaluatedSet: a set under evaluation, as one rank sees it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from diffclf_lightning.answers import Predictions
from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Report
from diffclf_lightning.paths import text_of
from diffclf_lightning.ranks import of_all_ranks
from diffclf_lightning.results import COMMON, StoredRows, rows_of
from diffclf_lightning.sharing import UNORDERED, Sharing
from diffclf_lightning.tasks import Task


@dataclass
class EvaluatedSet:
    """A set under evaluation.

    Args:
        name: Name of the set.
        task: What it asks.
        prepared: What the classifier prepared for it.
        evaluations_per_image: Evaluations an image, at most; None where samples bring candidates.
        sharing: How ranks share it, and which samples are to come.
        rank: This rank.
        candidate_labels: Labels that the set can hold, merged where an entry is a sequence; None
            for all.
    """

    name: str
    task: Task
    prepared: Any
    evaluations_per_image: int | None
    sharing: Sharing
    rank: int
    candidate_labels: Sequence[int | Sequence[int]] | None = None
    position: int = 0
    skipped: int = 0
    dropped: set[str] = field(default_factory=set, init=False)
    """Keys of stored rows that are of no sample of the set, known when rows are gathered."""
    taken: list[tuple[int, str]] = field(default_factory=list, init=False)
    """Row and key of the samples of the last batch, those of stored rows among them."""
    _stored: StoredRows | None = None
    _limited: bool = False
    _gathered: int = 0
    _new: list[pa.Table] = field(default_factory=list)
    _seen: dict[str, str] = field(default_factory=dict)
    _completed: list[int] = field(default_factory=list)
    _named: bool = False
    """Whether keys are those of the samples, and not of the order in which they came."""
    _right: int = 0
    _known: int = 0

    @property
    def indices(self) -> list[int] | None:
        """Index in the data set of each sample to come, -1 for a repeat; None when unknown."""
        return self.sharing.indices

    @property
    def num_images(self) -> int | None:
        """Number of samples of this rank, or None when unknown."""
        return None if self.indices is None else len(self.indices) - self.indices.count(-1)

    def take_up(self, stored: StoredRows | None, *, limited: bool) -> None:
        """Count stored rows of an earlier run; their samples are not evaluated again.

        Args:
            stored: The rows, or None where there are none.
            limited: Whether some samples of the set may not come.

        Raises:
            InputError: If they are no rows of the task, or of more samples than the set has.
        """
        self._stored, self._limited = stored, limited
        if stored is None:
            return
        kinds = {column.name: column.type for column in stored.rows.schema}
        for column in self.task.schema:
            missing = column.name in self.task.measured and column.name not in kinds
            if missing or kinds.get(column.name, column.type) != column.type:
                raise InputError(
                    f"Expected rows of set {self.name!r} with a column {column.name!r} of "
                    f"{column.type} in the folder of results, but got "
                    f"{kinds.get(column.name, 'none')}. Its images.parquet is another run's, or "
                    "has been changed: choose another `results.folder`, or move it away."
                )
        if self.sharing.size is None or stored.replaceable:
            return
        if len(stored) > self.sharing.size:
            raise InputError(
                self._changed(f"has {self.sharing.size} samples and the folder {len(stored)}")
            )

    def _changed(self, how: str) -> str:
        return (
            f"Expected set {self.name!r} to be the one that the folder of results holds, but it "
            f"{how}. Choose another `results.folder`, or replace what differs with "
            "`results.overwrite`."
        )

    def take(
        self, size: int, keys: Sequence[str] | None, readable: Sequence[bool] | None
    ) -> list[tuple[int, str]]:
        """Row and key of the samples of the next batch, less repeats and unreadable ones.

        Args:
            size: Number of samples.
            keys: Their own keys, where they have some.
            readable: Whether each could be read. Defaults to None: all.
        """
        self.sharing.check_named(keys)
        own: list[tuple[int, str]] = []
        for row in range(size):
            index = self.position if self.indices is None else self.indices[self.position]
            self.position += 1
            if index < 0:
                continue
            if readable is not None and not readable[row]:
                self.skipped += 1
                continue
            name = str(index) if self.indices is not None else f"{UNORDERED}{self.rank}-{index}"
            own.append((row, name if keys is None else text_of(keys[row])))
        self._named = keys is not None or self.indices is not None
        self.taken = own
        return own

    def left(self, keys: Sequence[str], digests: Sequence[str]) -> list[int]:
        """Places of the samples that have no stored row.

        Raises:
            InputError: If a stored row is of another image, or has another label, or processes
                read the same images.
        """
        self.sharing.check_first(keys, digests)
        new = []
        stored = self._stored if self._named else None
        for place, (key, digest) in enumerate(zip(keys, digests, strict=True)):
            self._check_once(key, digest)
            row = None if stored is None else stored.place(key)
            if row is None or stored is None:
                new.append(place)
            elif stored.digest(row) == digest:
                self._completed.append(row)
            elif stored.replaceable:
                new.append(place)
            else:
                what = "other pixels or another label for image"
                if self.task.brings_candidates:
                    what = "other images, captions or another tag for example"
                raise InputError(self._changed(f"has {what} {key!r}"))
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

    def gathered(self) -> pa.Table:
        """Rows of all ranks, each sample once, stored ones among them.

        Returns:
            The rows, by key.

        Raises:
            InputError: If there are stored rows of samples that the set no longer has.
        """
        tables = [table for of_rank in of_all_ranks(self._new) for table in of_rank]
        if (stored := self._stored_rows(tables)) is not None:
            tables.append(stored)
        if not tables:
            return pa.table({"key": pa.array([], pa.string())})
        names = tables[0].schema.names
        rows = pa.concat_tables([table.select(names) for table in tables]).sort_by("key")
        once: dict[str, int] = {}
        keys, digests = rows["key"].to_pylist(), rows["digest"].to_pylist()
        self.sharing.check_all(keys, digests)
        for place, (key, digest) in enumerate(zip(keys, digests, strict=True)):
            self._check_once(key, digest)  # of other ranks
            once.setdefault(key, place)
        self._gathered = len(once)
        return rows.take(list(once.values()))

    def _stored_rows(self, new: Sequence[pa.Table]) -> pa.Table | None:
        """Stored rows that count: of the samples that came, or of all where not all could come."""
        stored, self.dropped = self._stored, set()
        met = {row for rows in of_all_ranks(self._completed) for row in rows}
        named = any(of_all_ranks(self._named))
        come = self.indices is not None and self.position >= len(self.indices)
        limited = any(of_all_ranks(self._limited and not come))
        if stored is None:
            return None
        evaluated = {key for table in new for key in table["key"].to_pylist()}
        missed = {key for key in stored.keys - evaluated if stored.place(key) not in met}
        if missed and named and limited:
            self._check_room(len(evaluated | stored.keys))
            met |= {place for key in missed if (place := stored.place(key)) is not None}
        elif missed and named and not stored.replaceable:
            some = ", ".join(repr(key) for key in sorted(missed)[:3])
            raise InputError(
                self._changed(f"has no samples for {len(missed)} of its rows ({some}, ...)")
            )
        else:
            self.dropped = missed
        return stored.rows.take(sorted(met)) if met else None

    def _check_room(self, rows: int) -> None:
        """Refuse to count rows of samples that the set cannot have, where not all of it came."""
        if self.sharing.size is not None and rows > self.sharing.size:
            raise InputError(
                f"Expected set {self.name!r} to be the one that the folder of results holds, but "
                f"it has {self.sharing.size} samples, and rows of {rows} would be stored. Choose "
                "another `results.folder`, or replace what differs with `results.overwrite` in a "
                "run of all batches, which tells which rows are of no sample."
            )

    def skipped_of_all(self) -> int:
        """Number of samples of all ranks that could not be read."""
        return sum(of_all_ranks(self.skipped))

    def report(self, stored: StoredRows | None, counted: Report) -> Report:
        """The report of stored rows.

        Args:
            stored: All rows of the set that are on the disk.
            counted: The report of the rows that were gathered.

        Raises:
            InputError: If others are stored than were gathered.
        """
        rows = stored and stored.rows.sort_by("key")
        report = self.task.report(rows, counted.skipped) if rows else None
        if rows is None or report is None or len(rows) != self._gathered:
            raise InputError(
                f"Expected {self._gathered} rows of set {self.name!r} in the folder of results, "
                f"but got {0 if rows is None else len(rows)}: something else changed it. Run again "
                "with another `results.folder`."
            )
        return report

    def running_accuracy(self) -> float | None:
        """Accuracy of this rank so far, or None before the first sample with a known answer."""
        return self._right / self._known if self._known else None
