"""Tables of accuracies: those that the package ships, and a user's own CSV files.

A table has a column ``model``, may have ``family`` and ``standard`` (1 or 0), and for each test set
one column: ``SET/TOTAL`` holds numbers of correct images of that total, ``SET`` holds accuracies,
all in percent or all as fractions, or with a percent sign. Lines that begin with # are comments.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product, zip_longest
from pathlib import Path

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.paths import path_of

FOLDER = Path(__file__).parent / "data"
OTHER_COLUMNS = ("model", "family", "standard")
COUNTS = re.compile(r"(.*)/\s*([-+.\d]*)")
"""A heading SET/TOTAL, or what was meant to be one."""


@dataclass(frozen=True)
class Model:
    """A model and what it scored.

    Args:
        name: What it is called.
        family: What it has in common with models that are not independent of it.
        accuracies: Accuracy by test set.
        standard: Whether it was trained on the in-distribution training set alone, so that it may
            stand among the baselines.
        images: Names of the images by test set, where they are known.
        correct: Names of those that it classified correctly, where ``images`` are known.
        candidates: Labels among which it chose, by test set, where they are known; None for all.
        weights: A short name of its weights, where it is known.
        decided: All that decided its results but the sets, where it is known.
    """

    name: str
    family: str
    accuracies: Mapping[str, Accuracy]
    standard: bool = True
    images: Mapping[str, frozenset[str]] = field(default_factory=dict)
    correct: Mapping[str, frozenset[str]] = field(default_factory=dict)
    candidates: Mapping[str, object] = field(default_factory=dict)
    weights: str | None = None
    decided: str | None = None


@dataclass(frozen=True)
class Table:
    """Models of one source, called ``name``, whose lines are fitted together."""

    name: str
    models: Sequence[Model]

    @property
    def sets(self) -> list[str]:
        """Test sets of which at least one model has an accuracy, in the order of the models."""
        return list(dict.fromkeys(name for model in self.models for name in model.accuracies))


def shipped_tables() -> list[str]:
    """Names of the tables that the package carries."""
    return sorted(file.stem for file in FOLDER.glob("*.csv"))


def first_repeated(names: Iterable[str]) -> str | None:
    """The first name that stands there more than once, if any."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def read_table(name: str) -> Table:
    """Read a CSV file, or the shipped table of that name; an InputError names the wrong cell."""
    file = FOLDER / f"{name}.csv" if name in shipped_tables() else path_of(name)
    rows = _rows(file)
    columns = [_column(file, text) for text in rows[0].cells if text not in OTHER_COLUMNS]
    if not columns:
        raise _wrong(file, "a column for each test set", "none beside the model's own")
    if repeated := first_repeated(column.set for column in columns):
        raise _wrong(file, "each column once", f"{repeated!r} more than once")
    percent = _in_percent(file, rows, [c.text for c in columns if c.total is None])
    models, read = [], dict[tuple[_Column, str], Accuracy]()
    for row in rows:
        model, standard = row.cells["model"], row.cells.get("standard") or "1"
        if standard not in ("0", "1"):
            raise _wrong(row, "1 or 0 in column 'standard'", f"{standard!r} for {model}")
        accuracies = {}
        for column in columns:
            if text := row.cells[column.text]:
                cell = column, text  # which many rows have
                accuracies[column.set] = read.get(cell) or _accuracy(row, column, percent)
                read[cell] = accuracies[column.set]
        models.append(Model(model, row.cells.get("family") or model, accuracies, standard == "1"))
    return Table(file.stem, models)


@dataclass(frozen=True)
class _Row:
    """A row of a file: the number of its line, from 1, and its cells by column."""

    file: Path
    line: int
    cells: Mapping[str, str]

    def __str__(self) -> str:
        return f"line {self.line} of {self.file}"


@dataclass(frozen=True)
class _Column:
    """A column of a test set: its heading, and the total where it holds numbers of images."""

    text: str
    set: str
    total: int | None


def _column(file: Path, text: str) -> _Column:
    counts = COUNTS.fullmatch(text)
    if counts is None:
        return _Column(text, text, None)
    name, total = counts[1], counts[2]
    if not name or not total.isdecimal() or int(total) < 1:
        raise _wrong(file, "columns SET/TOTAL with a total of at least 1 image", repr(text))
    return _Column(text, name, int(total))


def _rows(file: Path) -> list[_Row]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"Expected a table of accuracies, a CSV file or one of {', '.join(shipped_tables())}, "
            f"but got {str(file)!r} ({type(error).__name__})."
        ) from error
    kept = [place for place, line in enumerate(lines) if line.strip() and line[0] != "#"]
    reader = csv.reader(lines[place] for place in kept)
    header = [name.strip() for name in next(reader, [])]
    if repeated := first_repeated(header):
        raise _wrong(file, "each column once", f"{repeated!r} more than once")
    rows: list[_Row] = []
    for values in reader:
        cells = dict(zip_longest(header, map(str.strip, values), fillvalue=""))
        rows.append(_Row(file, 1 + kept[reader.line_num - 1], cells))
        if len(values) > len(header):
            raise _wrong(rows[-1], f"{len(header)} cells a row", f"{len(values)}")
    if not rows or "model" not in header:
        found = f"columns {', '.join(header)}" if rows else "no rows"
        raise _wrong(file, "a column 'model' and at least one row", found)
    names = [row.cells["model"] for row in rows]
    twice = "" if "" in names else first_repeated(names)
    if twice is not None:
        raise _wrong(
            file, "each model once, with a name", f"{twice!r} in {names.count(twice)} rows"
        )
    return rows


def _in_percent(file: Path, rows: Sequence[_Row], columns: Sequence[str]) -> bool:
    """Whether accuracies without a sign are percent: all above 1 but for zeros."""
    found: dict[bool, str] = {}
    for row, column in product(rows, columns):
        with suppress(ValueError):  # empty, with a sign, or said to be wrong when it is read
            if (value := float(row.cells[column])) > 0 and (value > 1) not in found:
                model, text = row.cells["model"], row.cells[column]
                found[value > 1] = f"{text} for {model} in column {column!r}"
    if len(found) == 2:
        values = f"{found[False]}, beside {found[True]}"
        remedy = "write less than one percent with its sign, as 0.8%"
        raise _wrong(file, "accuracies all in percent or all as fractions", f"{values}; {remedy}")
    return True in found


def _accuracy(row: _Row, column: _Column, percent: bool) -> Accuracy:
    text = row.cells[column.text]
    try:
        if column.total is not None:
            number = float(text)
            return Accuracy.of(int(number) if number.is_integer() else -1, column.total)
        number = float(text.removesuffix("%"))
        return Accuracy(number / 100 if percent or text.endswith("%") else number)
    except ValueError as error:
        counted = column.total is not None
        what = f"a number of images up to {column.total}" if counted else "an accuracy"
        found = f"{text!r} for {row.cells['model']}"
        raise _wrong(row, f"{what} in column {column.text!r}", found) from error


def _wrong(where: Path | _Row, expected: str, found: str) -> InputError:
    return InputError(f"Expected {expected} in {where}, but got {found}. Correct the table.")
