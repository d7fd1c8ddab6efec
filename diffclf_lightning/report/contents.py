"""What the rows of a run say, as plain arrays of each set, in one pass over bounded memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import ClassificationReport, classification_report
from diffclf_lightning.paths import path_of
from diffclf_lightning.report.names import Names
from diffclf_lightning.results import RunFolder, lists_of

SCALARS = (
    "label",
    "prediction",
    "confidence",
    "rank",
    "negative_log_likelihood",
    "evaluations",
    "seconds",
)
NAMED = ("label_name", "prediction_name")
LISTS = ("scores", "standard_errors", "counts")


@dataclass
class SetContents:
    """The images of one set, each array of shape ``(images,)``.

    Args:
        name: Name of the set.
        keys: Name of each image.
        columns: Stored numbers by column; NaN where they are not known.
        margin: Score of the runner-up above the best one.
        spread: Standard error of that difference, NaN where unknown.
        pictured: Whether a thumbnail is stored.
        survivors: Mean number of labels with at least 1, 2, ... trials, shape ``(trials,)``.
        num_labels: Number of labels to choose among.
    """

    name: str
    keys: list[str]
    columns: dict[str, NDArray[Any]]
    margin: NDArray[np.float64]
    spread: NDArray[np.float64]
    pictured: NDArray[np.bool_]
    survivors: NDArray[np.float64]
    num_labels: int

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, column: str) -> NDArray[Any]:
        """A column of numbers."""
        return self.columns[column]

    @property
    def labelled(self) -> bool:
        """Whether the true labels are known."""
        return not np.isnan(self["label"]).any()

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which images are answered rightly; none where labels are not known."""
        return np.asarray(self["label"] == self["prediction"])

    @property
    def undecided(self) -> NDArray[np.bool_]:
        """Whose runner-up is within a standard error of the best, or who have no confident answer.

        The confidence, below one half, tells where standard errors are not known.
        """
        unknown = np.isnan(self.spread)
        return np.asarray(
            np.where(unknown, self["confidence"] < 0.5, self.margin <= self.spread), dtype=bool
        )

    def report(self) -> ClassificationReport | None:
        """What was measured, or None where labels are not known."""
        if not self.labelled:
            return None
        whole = ("label", "prediction", "rank", "evaluations")
        columns: dict[str, Any] = {
            name: self[name].astype(np.int64) if name in whole else self[name] for name in SCALARS
        }
        return classification_report(**columns, others={}, num_labels=self.num_labels)


@dataclass
class RunContents:
    """One run.

    Args:
        name: Name of the run in the report.
        path: Its folder.
        description: What decided the results.
        sets: What its rows say by set.
        names: Names of labels.
        finished: When it ended; None where it did not.
    """

    name: str
    path: Path
    description: Mapping[str, Any]
    sets: dict[str, SetContents]
    names: Names
    finished: datetime | None = None


@dataclass
class _Parts:
    """What batches of rows of one set come to."""

    keys: list[str] = field(default_factory=list)
    arrays: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    met: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    num_labels: int = 0

    def add(self, rows: pa.Table) -> None:
        scores, spreads, counts = (lists_of(rows, name) for name in LISTS)
        self.keys += rows["key"].to_pylist()
        order = np.argsort(scores, axis=1, kind="stable")[:, :2]
        best = np.take_along_axis(scores, order, axis=1).astype(np.float64)
        values = {name: rows[name].to_numpy().astype(np.float64) for name in SCALARS}
        values["margin"] = best[:, -1] - best[:, 0]
        values["spread"] = np.take_along_axis(spreads, order, axis=1)[:, -1].astype(np.float64)
        values["pictured"] = np.zeros(len(rows), dtype=bool)
        if "thumbnail" in rows.schema.names:
            values["pictured"] = rows["thumbnail"].is_valid().to_numpy()
        self.arrays.append(values)
        met = np.bincount(counts.ravel())
        longest = max(len(met), len(self.met))
        self.met = _padded(self.met, longest) + _padded(met, longest)
        self.num_labels = max(self.num_labels, int(np.isfinite(scores).sum(axis=1).max()))

    def contents(self, name: str) -> SetContents:
        order = np.argsort(np.array(self.keys), kind="stable")  # whatever order they came in
        columns = {
            column: np.concatenate([part[column] for part in self.arrays])[order]
            for column in self.arrays[0]
        }
        margin, spread, pictured = (columns.pop(k) for k in ("margin", "spread", "pictured"))
        survivors = self.met[::-1].cumsum()[::-1][1:] / len(self.keys)
        keys = [self.keys[place] for place in order]
        return SetContents(
            name, keys, columns, margin, spread, pictured, survivors, self.num_labels
        )


def _padded(counts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    return np.pad(counts, (0, length - len(counts)))


def read_runs(folders: Sequence[str | Path]) -> list[RunContents]:
    """The contents of some runs, each of a name of its own.

    Args:
        folders: Their folders.

    Returns:
        The runs.

    Raises:
        InputError: If a folder holds no rows of a classification, or is named twice.
    """
    paths = [path_of(folder) for folder in folders]
    for path in paths:
        RunFolder(path).check_there()
    resolved = [path.resolve() for path in paths]
    for place, path in enumerate(resolved):
        if path in resolved[:place]:
            raise InputError(
                f"Expected RUN to name each folder once, but got {str(paths[place])!r} twice. Drop "
                "one."
            )
    short = [path.name for path in resolved]
    names = short if len(set(short)) == len(short) else [str(path) for path in paths]
    return [read_run(path, name) for path, name in zip(paths, names, strict=True)]


def read_run(path: Path, name: str) -> RunContents:
    """The contents of a run.

    Args:
        path: Its folder.
        name: Its name in the report.

    Returns:
        The run.

    Raises:
        InputError: If the folder holds no rows of a classification.
    """
    run, parts = RunFolder(path), dict[str, _Parts]()
    names = Names(run.description().get("classnames"))
    for rows in run.batches([*SCALARS, *NAMED, *LISTS, "thumbnail"]):
        missing = [column for column in (*SCALARS, *LISTS) if column not in rows.schema.names]
        if missing:
            raise InputError(
                f"Expected RUN to hold rows of a classification, but those of {str(path)!r} "
                f"have no {', '.join(missing)}. Name the folder of another run."
            )
        names.learn(rows)
        for set_name in rows["set"].unique().to_pylist():
            chosen = rows.filter(pc.field("set") == set_name)
            parts.setdefault(set_name, _Parts()).add(chosen)
    if not parts:
        raise InputError(
            f"Expected RUN to be the folder of a run with results, but {str(path)!r} has none. "
            "Name a folder that `diffclf test`, `predict` or `validate` printed."
        )
    ended = run.summary_file.stat().st_mtime if run.summary_file.is_file() else None
    return RunContents(
        name,
        path,
        run.description(),
        {set_name: part.contents(set_name) for set_name, part in parts.items()},
        names,
        None if ended is None else datetime.fromtimestamp(ended),
    )
