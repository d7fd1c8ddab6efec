"""Results of a run on disk, read by everything downstream.

A run is a folder::

    config.yaml      the resolved configuration (command line only)
    run.json         what decides the results: classifier, strategy, weights, ...
    parts/           rows of each batch, while the run goes on
    images.parquet   one row an image
    summary.json     accuracies and costs by set, with `correct` and `total` as integers

Files appear whole or not at all, so that an interrupted run can go on from what is there.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Count, Report
from diffclf_lightning.predictions import ByLoss, Outcome, Predictions, Stored

SCHEMA = pa.schema(
    {
        "set": pa.string(),
        "key": pa.string(),
        "digest": pa.string(),
        "label": pa.int64(),
        "prediction": pa.int64(),
        "scores": pa.list_(pa.float32()),
        "standard_errors": pa.list_(pa.float32()),
        "counts": pa.list_(pa.int64()),
        "probabilities": pa.list_(pa.float32()),
        "evaluations": pa.int64(),
        "seconds": pa.float64(),
        "predictions_by_loss": pa.map_(pa.string(), pa.int64()),
        "scores_by_loss": pa.map_(pa.string(), pa.list_(pa.float32())),
    }
)
ERRORS = pa.field("errors", pa.list_(pa.list_(pa.float32())))
"""Optional column: error of each candidate at each trial, NaN where never evaluated."""

CANDIDATES = "candidate_labels"
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
            candidates: Candidate labels of each set, none where it has all.

        Raises:
            InputError: If it does.
        """
        before, now = self._described(), json.loads(json.dumps({**description}))
        if not before:
            return
        sets = before.pop(CANDIDATES, {})
        for name, labels in json.loads(json.dumps({**candidates})).items():
            if name in sets and sets[name] != labels:
                before[f"candidates of {name!r}"] = sets[name]
                now[f"candidates of {name!r}"] = labels
        for key in sorted(before.keys() | now.keys()):
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
            candidates: Candidate labels of each set, none where it has all.
        """
        sets = {**self._described().get(CANDIDATES, {}), **candidates}
        self.parts.mkdir(parents=True, exist_ok=True)
        content = json.dumps({**description, CANDIDATES: sets}, indent=2)
        write_whole(self.run_file, content + "\n")

    def _described(self) -> dict[str, Any]:
        """Content of ``run.json``; empty in a new folder."""
        if not self.run_file.exists():
            return {}
        content: dict[str, Any] = json.loads(self.run_file.read_text())
        return content

    def add(self, name: str, predictions: Predictions, *, errors: bool = False) -> None:
        """Write the rows of a batch.

        Args:
            name: Name of the part, unique in the run.
            predictions: Results of the batch.
            errors: Whether the error of every trial is written too.
        """
        schema = SCHEMA.append(ERRORS) if errors else SCHEMA
        columns = _columns(predictions, errors=errors)
        table = pa.table(columns, schema=schema)
        partial = self.parts / f"{name}.partial"
        pq.write_table(table, partial)
        partial.replace(self.parts / f"{name}.parquet")

    def rows(self) -> pa.Table | None:
        """All rows there are, the latest of each image; none in a new folder."""
        files = [*([self.images] if self.images.exists() else []), *self._part_files()]
        if not files:
            return None
        tables = [SCHEMA.empty_table(), *(pq.read_table(f) for f in files)]
        table = pa.concat_tables(tables, promote_options="default")
        names = zip(table["set"].to_pylist(), table["key"].to_pylist(), strict=True)
        latest = {name: place for place, name in enumerate(names)}
        return table.take(sorted(latest.values()))

    def completed(self) -> dict[tuple[str, str], Stored]:
        """Stored answers by (set, key)."""
        rows = self.rows()
        if rows is None:
            return {}
        small = rows.select(SCHEMA.names)  # the errors of all trials can be very many
        return {(row["set"], row["key"]): _stored(row) for row in small.to_pylist()}

    def finish(
        self,
        reports: Mapping[str, Report],
        description: Mapping[str, Any],
        candidates: Mapping[str, Any],
    ) -> None:
        """Gather the parts into one file and write the summary.

        Sets of an earlier run in the same folder stay in the summary.

        Args:
            reports: Report of each set.
            description: What decides the results.
            candidates: Candidate labels of each set, none where it has all.
        """
        rows = self.rows()
        if rows is not None:
            partial = self.images.with_suffix(".partial")
            order = [("set", "ascending"), ("key", "ascending")]
            pq.write_table(rows.sort_by(order), partial)
            partial.replace(self.images)
            for file in self._part_files():
                file.unlink()
        if self.parts.exists() and not any(self.parts.iterdir()):
            self.parts.rmdir()
        sets = {
            name: {
                **_measured(report),
                "other_losses": {k: _measured(count) for k, count in report.other_losses.items()},
                CANDIDATES: candidates.get(name),
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
        try:
            content: dict[str, Any] = json.loads(self.summary_file.read_text())
            return {"run": content["run"], "sets": content["sets"]}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"Expected {str(self.summary_file)!r} to be the summary of a finished run, but got "
                f"{type(error).__name__}: {error}. Run `diffclf test` again with this folder as "
                "`results.folder`."
            ) from error

    def _part_files(self) -> list[Path]:
        return sorted(self.parts.glob("*.parquet"))


def write_whole(file: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all.

    Args:
        file: The file.
        text: Its content.
    """
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    partial.write_text(text)
    partial.replace(file)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST else f"{text[:MOST]}..."


def _measured(count: Count) -> dict[str, Any]:
    interval = [count.interval.lower, count.interval.upper]
    return {**asdict(count), "accuracy": count.accuracy, "interval": interval}


def _columns(predictions: Predictions, *, errors: bool) -> dict[str, list[Any]]:
    count, outcome = len(predictions.keys), predictions.outcome
    labels, others = predictions.labels, outcome.others.items()
    columns: dict[str, list[Any]] = {
        "set": [predictions.set_name] * count,
        "key": predictions.keys,
        "digest": predictions.digests,
        "label": [None] * count if labels is None else labels.tolist(),
        "prediction": outcome.predictions.tolist(),
        "scores": outcome.scores.tolist(),
        "standard_errors": outcome.standard_errors.tolist(),
        "counts": outcome.counts.tolist(),
        "probabilities": outcome.probabilities.tolist(),
        "evaluations": outcome.evaluations.tolist(),
        "seconds": [predictions.seconds] * count,
        "predictions_by_loss": _by_loss({k: v.predictions for k, v in others}, count),
        "scores_by_loss": _by_loss({k: v.scores for k, v in others}, count),
    }
    if errors:
        table = outcome.table
        columns["errors"] = [None] * count if table is None else table.errors.cpu().tolist()
    return columns


def _by_loss(values: Mapping[str, Tensor], count: int) -> list[Any]:
    """Pairs of loss and value for each image; none where there are no other losses."""
    if not values:
        return [None] * count
    each = zip(*(value.tolist() for value in values.values()), strict=True)
    return [list(zip(values, row, strict=True)) for row in each]


def _stored(row: Mapping[str, Any]) -> Stored:
    def one(name: str, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.tensor([row[name]], dtype=dtype)

    scores = dict(row["scores_by_loss"] or ())
    others = {
        name: ByLoss(
            torch.tensor([label], dtype=torch.int64),
            torch.tensor([scores[name]], dtype=torch.float32),
        )
        for name, label in row["predictions_by_loss"] or ()
    }
    outcome = Outcome(
        predictions=one("prediction", torch.int64),
        scores=one("scores"),
        probabilities=one("probabilities"),
        standard_errors=one("standard_errors"),
        counts=one("counts", torch.int64),
        evaluations=one("evaluations", torch.int64),
        others=others,
    )
    return Stored(outcome, row["label"], row["digest"], row["seconds"])
