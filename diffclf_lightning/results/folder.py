"""The folder of one run.

::

    config.yaml       the resolved configuration (command line only)
    run.json          what decides the results: classifier, strategy, times of trials, weights, ...,
                      and, which decides nothing, the machines that evaluated
    parts/            rows of each batch, while the run goes on
    images.parquet    one row a sample
    summary.json      what was measured, by set, with `correct` and `total` as integers
    calibration.json  what `diffclf calibrate` fitted

Files appear whole or not at all, so that an interrupted run can go on from what is there.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from diffclf_lightning.answers import Predictions
from diffclf_lightning.errors import InputError
from diffclf_lightning.files import write_whole
from diffclf_lightning.metrics import Report
from diffclf_lightning.results.rows import COMMON, StoredRows, rows_of

LAYOUT = 2
"""Of the folder; a folder of another layout is not read."""
CANDIDATES = "candidate_labels"
MACHINES = "machines"
BUSY = "busy_seconds"
AT_ONCE = 512
"""Rows that are held at once, with the errors of all their trials."""
MOST = 200
"""Letters of a value in a message."""


class RunFolder:
    """The folder of one run.

    Args:
        path: Where it is or shall be.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.images, self.parts = self.path / "images.parquet", self.path / "parts"
        self.summary_file, self.run_file = self.path / "summary.json", self.path / "run.json"

    def check(self, description: Mapping[str, Any], candidates: Mapping[str, Any]) -> None:
        """Say if the folder holds results of something else.

        Args:
            description: What decides the results.
            candidates: Candidate labels of each set, None where it has all.

        Raises:
            InputError: If it does.
        """
        before, now = self.description(), json.loads(json.dumps({**description}))
        if not before:
            return
        sets = before.pop(CANDIDATES, {})
        before.pop(MACHINES, None)
        for name, labels in json.loads(json.dumps({**candidates})).items():
            if name in sets and sets[name] != labels:
                before[f"candidates of {name!r}"] = sets[name]
                now[f"candidates of {name!r}"] = labels
        for key in dict.fromkeys((*now, *before)):
            if before.get(key) != now.get(key):
                raise InputError(
                    f"Expected the folder {str(self.path)!r} to be new or to hold results of "
                    f"the same configuration, but its {key} was {_short(before.get(key))} and is "
                    f"now {_short(now.get(key))}. Choose another `results.folder`."
                )

    def begin(self, description: Mapping[str, Any], candidates: Mapping[str, Any]) -> None:
        """Make the folder, or take up the run that it holds.

        Args:
            description: What decides the results.
            candidates: Candidate labels of each set, None where it has all.
        """
        before = self.description()
        sets = {**before.get(CANDIDATES, {}), **candidates}
        self.parts.mkdir(parents=True, exist_ok=True)
        self._describe({**description, CANDIDATES: sets, MACHINES: before.get(MACHINES, [])})

    def record(self, machine: Mapping[str, Any]) -> None:
        """Keep what images are evaluated on, each machine once.

        Args:
            machine: Plain values, as :func:`machine` gives them.
        """
        description = self.description()
        machines = description.setdefault(MACHINES, [])
        if machine not in machines:
            machines.append(dict(machine))
            self._describe(description)

    def _describe(self, description: Mapping[str, Any]) -> None:
        content = {"layout": LAYOUT, **description}
        write_whole(self.run_file, json.dumps(content, indent=2) + "\n")

    def description(self) -> dict[str, Any]:
        """Content of ``run.json``; empty in a new folder.

        Raises:
            InputError: If the folder has another layout.
        """
        if not self.run_file.exists():
            return {}
        content: dict[str, Any] = json.loads(self.run_file.read_text())
        layout = content.pop("layout", 1)
        if layout != LAYOUT:
            raise InputError(
                f"Expected the folder {str(self.path)!r} to be written by this version (layout "
                f"{LAYOUT}), but its run.json is of layout {layout}. Run again with another "
                "`results.folder`, or read it with the version that wrote it."
            )
        return content

    def add(self, rank: int, predictions: Predictions, schema: pa.Schema) -> None:
        """Write the rows of a batch.

        Args:
            rank: The rank that writes.
            predictions: Results of the batch.
            schema: Columns of the task.
        """
        name = f"{time.time_ns():020d}-rank{rank}"
        partial = self.parts / f"{name}.partial"
        pq.write_table(rows_of(predictions, schema), partial)
        partial.replace(self.parts / f"{name}.parquet")

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """All rows there are, the latest of each sample, a bounded number at once.

        Args:
            columns: Columns to read beside those of every row. Defaults to None: all.

        Yields:
            Rows, in the order in which they came.
        """
        self.description()
        files = [*([self.images] if self.images.exists() else []), *self._part_files()]
        named = [pq.read_table(file, columns=["set", "key"]) for file in files]
        names = (name for t in named for name in zip(*(c.to_pylist() for c in t), strict=True))
        latest = {name: place for place, name in enumerate(names)}
        kept = np.zeros(sum(len(table) for table in named), dtype=bool)
        kept[list(latest.values())] = True
        place = 0
        for file in files:
            opened = pq.ParquetFile(file)
            present = opened.schema_arrow.names
            wanted = present if columns is None else [*COMMON.names, *columns]
            wanted = [name for name in wanted if name in present]
            for batch in opened.iter_batches(batch_size=AT_ONCE, columns=wanted):
                mask = kept[place : place + len(batch)]
                place += len(batch)
                yield pa.table(batch).filter(pa.array(mask))

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
        """
        rows = self.rows(columns)
        if rows is None:
            return {}
        nothing = COMMON.empty_table()  # of an earlier version, rows lack a column
        rows = pa.concat_tables([nothing, rows], promote_options="default")
        names = rows["set"].unique().to_pylist()
        return {name: StoredRows(rows.filter(pc.field("set") == name)) for name in names}

    def finish(
        self,
        reports: Mapping[str, Report],
        description: Mapping[str, Any],
        candidates: Mapping[str, Any],
        busy: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Gather the parts into one file and write the summary.

        Sets of an earlier run in the same folder stay in the summary.

        Args:
            reports: Report of each set.
            description: What decides the results.
            candidates: Candidate labels of each set, None where it has all.
            busy: Seconds that each rank was busy, by set. Defaults to None: unknown.
        """
        parts = self._part_files()
        if parts:
            partial = self.images.with_suffix(".partial")
            files = [*([self.images] if self.images.exists() else []), *parts]
            schema = pa.unify_schemas([pq.read_schema(file) for file in files])
            nothing = schema.empty_table()
            with pq.ParquetWriter(partial, schema) as writer:
                for rows in self.batches():  # of an earlier version, some lack a column
                    whole = pa.concat_tables([nothing, rows], promote_options="default")
                    writer.write_table(whole)
            partial.replace(self.images)
            for file in parts:
                file.unlink()
        if self.parts.exists() and not any(self.parts.iterdir()):
            self.parts.rmdir()
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
        summary = {"run": dict(description), "sets": {**earlier, **sets}}
        write_whole(self.summary_file, json.dumps(summary, indent=2) + "\n")

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
            content: dict[str, Any] = json.loads(self.summary_file.read_text())
            return {"run": content["run"], "sets": content["sets"]}
        except (ValueError, KeyError, TypeError) as error:
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
        except ValueError as error:  # an InputError, or no JSON
            return str(error)
        return "continued and not finished" if self._part_files() else None

    def _part_files(self) -> list[Path]:
        return sorted(self.parts.glob("*.parquet"))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST else f"{text[:MOST]}..."
