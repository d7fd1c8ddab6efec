"""The folder of one run.

::

    config.yaml       the resolved configuration (command line only)
    run.json          what decides the results: classifier, strategy, times of trials, weights, ...,
                      and, which decides nothing, the machines that evaluated
    parts/            rows of each batch, while the run goes on
    images.parquet    one row a sample
    summary.json      what was measured, by set, with `correct` and `total` as integers
    calibration.json  what `diffclf calibrate` fitted
    .lock             who writes, while somebody does

Files appear whole or not at all, so that an interrupted run can go on from what is there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from diffclf_lightning.answers import Predictions
from diffclf_lightning.errors import InputError
from diffclf_lightning.files import PARTIAL, appearing, changing, made, write_whole
from diffclf_lightning.metrics import Report
from diffclf_lightning.paths import path_of
from diffclf_lightning.results.description import CANDIDATES, RunDescription
from diffclf_lightning.results.parts import Parts
from diffclf_lightning.results.rows import COMMON, StoredRows, rows_of
from diffclf_lightning.results.shared import MARK
from diffclf_lightning.results.tables import NAMES, batches_of, writer

BUSY = "busy_seconds"
MADE = "calibration.json", "score-*.json", "report.html", "figures"
"""What commands make of rows."""


class RunFolder:
    """The folder of one run.

    Args:
        path: Where it is or shall be.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path_of(path)
        self.images, self.parts = self.path / "images.parquet", Parts(self.path / "parts")
        self.summary_file, self.run_file = self.path / "summary.json", self.path / "run.json"
        self.described = RunDescription(self.run_file)

    def begin(
        self,
        description: Mapping[str, Any],
        candidates: Mapping[str, Any],
        *,
        overwrite: bool = False,
    ) -> list[str]:
        """Make the folder, or take up the run that it holds; only one process may do so at once.

        Args:
            description: What decides the results.
            candidates: Candidate labels of each set, None where it has all.
            overwrite: Whether results of something else are removed.

        Returns:
            What could not be read, or was removed, a sentence each.

        Raises:
            InputError: If the folder holds results of something else, or rows that are damaged.
        """
        made(self.path)
        said = self.parts.set_aside() if self.parts.folder.exists() else []
        try:
            self._check_rows()
            self.described.check(description, candidates)
        except InputError as error:
            if not overwrite or self._foreign():
                raise
            why = str(error).partition(" Choose another")[0]
            said.append(f"What {self.path} held is replaced. {why}")
            self._clear()
            said += self._stale()
        with changing(self.path):
            for file in (*self.path.glob(f"*{PARTIAL}"), *self.path.glob(f"{MARK}*")):
                file.unlink()  # of runs that were killed
        self.parts.begin()
        self.described.write(description, candidates)
        return said

    def _check_rows(self) -> None:
        """Refuse rows that cannot be read, or of which nothing says what they are of."""
        if self.images.exists():
            for _ in batches_of(self.images, [*NAMES, "digest"]):
                pass
        if not self.run_file.exists() and (self._files() or self.summary_file.exists()):
            raise InputError(
                f"Expected a run.json that says what {str(self.path)!r} holds results "
                "of, but there is none. Choose another `results.folder`, or replace what is there "
                "with `results.overwrite`."
            )

    def _foreign(self) -> bool:
        """Whether the rows are another program's, which are not ours to remove."""
        try:
            names = pq.read_schema(self.images).names
        except (OSError, pa.ArrowException):
            return False
        return not self.run_file.exists() and not {*NAMES} <= {*names}

    def _stale(self) -> list[str]:
        """What was made of rows that are gone, a sentence for all."""
        made_of = [file.name for like in MADE for file in sorted(self.path.glob(like))]
        if not made_of:
            return []
        return [
            f"Of the results that {self.path} held are {', '.join(made_of)}, which stay: make them "
            "again, or remove them."
        ]

    def _clear(self) -> None:
        with changing(self.path):
            for file in (self.summary_file, self.run_file, self.images):
                file.unlink(missing_ok=True)
        self.parts.remove(self.parts.files())

    def description(self) -> dict[str, Any]:
        """Content of ``run.json``; empty in a new folder.

        Raises:
            InputError: If the folder has another layout, or the file is damaged.
        """
        return self.described.read()

    def add(self, rank: int, predictions: Predictions, schema: pa.Schema) -> None:
        """Write the rows of a batch, which are on the disk when this returns.

        Args:
            rank: The rank that writes.
            predictions: Results of the batch.
            schema: Columns of the task.
        """
        self.parts.add(rank, rows_of(predictions, schema))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """All rows there are, the latest of each sample, a bounded number at once.

        Args:
            columns: Columns to read beside those of every row. Defaults to None: all.

        Yields:
            Rows, in the order in which they came.

        Raises:
            InputError: If a file is damaged.
        """
        self.description()
        return self._latest(self._files(), columns)

    def _latest(
        self,
        files: Sequence[Path],
        columns: Sequence[str] | None = None,
        without: Mapping[str, set[str]] | None = None,
    ) -> Iterator[pa.Table]:
        """Rows of files, the latest of each sample, less some keys of some sets."""
        latest: dict[tuple[str, str], int] = {}
        length = 0
        for file in files:
            for rows in batches_of(file, NAMES):
                names = zip(*(rows[name].to_pylist() for name in NAMES), strict=True)
                latest.update((name, length + place) for place, name in enumerate(names))
                length += len(rows)
        for name, keys in (without or {}).items():
            for key in keys:
                latest.pop((name, key), None)
        kept = np.zeros(length, dtype=bool)
        kept[list(latest.values())] = True
        place = 0
        wanted = None if columns is None else [*COMMON.names, *columns]
        for file in files:
            for rows in batches_of(file, wanted):
                mask = kept[place : place + len(rows)]
                place += len(rows)
                yield rows if mask.all() else rows.filter(pa.array(mask))

    def rows(self, columns: Sequence[str]) -> pa.Table | None:
        """All rows there are, the latest of each sample, or None in a new folder.

        Args:
            columns: Columns to read beside those of every row; few, since all rows are held.

        Returns:
            The rows.
        """
        tables = list(self.batches(columns))
        return pa.concat_tables(tables, promote_options="default") if tables else None

    def completed(self, columns: Sequence[str]) -> dict[str, StoredRows]:
        """Stored rows by set.

        Args:
            columns: Columns to read beside those of every row.

        Returns:
            The rows of each set.

        Raises:
            InputError: If a file is damaged, or has columns of other types.
        """
        rows = self.rows(columns)
        if rows is None:
            return {}
        nothing = COMMON.empty_table()  # of an earlier version, rows lack a column
        try:
            rows = pa.concat_tables([nothing, rows], promote_options="default")
        except pa.ArrowException as error:
            raise InputError(
                f"Expected the rows in {str(self.path)!r} to be those of a run, but got: {error}. "
                "Choose another folder, or run `diffclf test` again."
            ) from error
        names = rows["set"].unique().to_pylist()
        return {name: StoredRows(rows.filter(pc.field("set") == name)) for name in names}

    def gather(self, without: Mapping[str, set[str]] | None = None) -> None:
        """Gather the parts into one file; parts that come meanwhile stay.

        Args:
            without: Keys by set of rows that no longer count. Defaults to None: all do.

        Raises:
            InputError: If a file is damaged, or the new one cannot be written.
        """
        files = self._files()
        parts = files[1:] if self.images.exists() else files
        if parts or any((without or {}).values()):
            schema = pa.unify_schemas([pq.read_schema(file) for file in files])
            nothing = schema.empty_table()
            with appearing(self.images) as partial, writer(partial, schema) as opened:
                for rows in self._latest(files, without=without):
                    if rows.schema != schema:  # of an earlier version, some lack a column
                        rows = pa.concat_tables([nothing, rows], promote_options="default")
                    opened.write_table(rows)
        self.parts.remove(parts)

    def finish(
        self,
        reports: Mapping[str, Report],
        description: Mapping[str, Any],
        candidates: Mapping[str, Any],
        busy: Mapping[str, Sequence[float]] | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> list[str]:
        """Write the summary, in which sets of an earlier run in the same folder stay.

        Args:
            reports: Report of each set.
            description: What decides the results.
            candidates: Candidate labels of each set, None where it has all.
            busy: Seconds that each rank was busy, by set. Defaults to None: unknown.
            counts: Number of stored rows of each set. Defaults to None: unknown.

        Returns:
            Sets of which the summary says nothing, since the run that stored rows did not end.
        """
        sets = {
            name: {
                **report.summary(),
                CANDIDATES: candidates.get(name),
                **({BUSY: list(busy[name])} if busy and name in busy else {}),
            }
            for name, report in reports.items()
        }
        try:
            earlier = self.summary()["sets"]
        except InputError:  # there is none, or it is damaged: this run must not be lost for it
            earlier = {}
        partial = [
            name
            for name in (counts or {}).keys() - sets.keys()
            if earlier.get(name, {}).get("total") != (counts or {})[name]
        ]
        kept = {name: report for name, report in earlier.items() if name not in partial}
        summary = {"run": dict(description), "sets": {**kept, **sets}}
        write_whole(self.summary_file, json.dumps(summary, indent=2) + "\n")
        return sorted(partial)

    def summary(self) -> dict[str, Any]:
        """Content of ``summary.json``.

        Raises:
            InputError: If the run has not ended.
        """
        if not self.summary_file.is_file():
            raise InputError(
                f"Expected {str(self.path)!r} to be the folder of a finished run, but it has no "
                "summary.json. Name a folder that `diffclf test` printed."
            )
        self.description()
        try:
            content: dict[str, Any] = json.loads(self.summary_file.read_text(encoding="utf-8"))
            sets = {name: dict(report) for name, report in dict(content["sets"]).items()}
            return {"run": dict(content["run"]), "sets": sets}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"Expected {str(self.summary_file)!r} to be the summary of a finished run, but got "
                f"{type(error).__name__}: {error}. Run `diffclf test` again with this folder as "
                "`results.folder`."
            ) from error

    def check_there(self) -> None:
        """Refuse a folder that is not there.

        Raises:
            InputError: If it is not.
        """
        if not self.path.is_dir():
            raise InputError(
                f"Expected RUN to be the folder of a run, but there is no such folder as "
                f"{str(self.path)!r}."
            )

    @property
    def begun(self) -> bool:
        """Whether this is the folder of a run, finished or not."""
        return self.run_file.is_file() or self.summary_file.is_file()

    def unfinished(self) -> str | None:
        """Why this is not the folder of a finished run that can be read; None where it is."""
        if not self.begun:
            return "no folder of a run"
        try:
            if self.description() and not self.summary_file.is_file():
                return "not finished"
            self.summary()
        except InputError as error:
            return str(error)
        return "continued and not finished" if self.parts.files() else None

    def _files(self) -> list[Path]:
        return [*([self.images] if self.images.exists() else []), *self.parts.files()]
