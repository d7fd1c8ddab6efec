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
from itertools import product
from pathlib import Path

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.paths import path_of

FOLDER = Path(__file__).parent / "data"
OTHER_COLUMNS = ("model", "family", "standard")
Cells = Mapping[str, str]
COUNTS = re.compile(r"(.+)/(\d+)")


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
        candidates: Labels among which it chose, by test set, where they are known; None for all.
        weights: A short name of its weights, where it is known.
        decided: All that decided its results but the sets, where it is known.
    """

    name: str
    family: str
    accuracies: Mapping[str, Accuracy]
    standard: bool = True
    images: Mapping[str, frozenset[str]] = field(default_factory=dict)
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
    columns = [column for column in rows[0] if column not in OTHER_COLUMNS]
    if not columns:
        raise _wrong(file, "a column for each test set", "none beside the model's own")
    percent = _in_percent(file, rows, [c for c in columns if not COUNTS.fullmatch(c)])
    models = []
    for row in rows:
        model, standard = row["model"], row.get("standard") or "1"
        if standard not in ("0", "1"):
            raise _wrong(file, "1 or 0 in column 'standard'", f"{standard!r} for {model}")
        accuracies = {
            COUNTS.sub(r"\1", c): _accuracy(file, row, c, percent) for c in columns if row[c]
        }
        models.append(Model(model, row.get("family") or model, accuracies, standard == "1"))
    return Table(file.stem, models)


def _rows(file: Path) -> list[Cells]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"Expected a table of accuracies, a CSV file or one of {', '.join(shipped_tables())}, "
            f"but got {str(file)!r} ({type(error).__name__})."
        ) from error
    reader = csv.DictReader(line for line in lines if line.strip() and line[0] != "#")
    header = [COUNTS.sub(r"\1", name.strip()) for name in reader.fieldnames or ()]
    if repeated := first_repeated(header):
        raise _wrong(file, "each column once", f"{repeated!r} more than once")
    rows: list[Cells] = []
    for row in reader:
        if None in row:
            found = f"more in line {reader.line_num} of the table"
            raise _wrong(file, f"{len(header)} cells a row", found)
        rows.append({name.strip(): (value or "").strip() for name, value in row.items()})
    if not rows or "model" not in rows[0]:
        found = f"columns {', '.join(rows[0])}" if rows else "no rows"
        raise _wrong(file, "a column 'model' and at least one row", found)
    names = [row["model"] for row in rows]
    twice = "" if "" in names else first_repeated(names)
    if twice is not None:
        raise _wrong(
            file, "each model once, with a name", f"{twice!r} in {names.count(twice)} rows"
        )
    return rows


def _in_percent(file: Path, rows: Sequence[Cells], columns: Sequence[str]) -> bool:
    """Whether accuracies without a sign are percent: all above 1 but for zeros."""
    found: dict[bool, str] = {}
    for row, column in product(rows, columns):
        with suppress(ValueError):  # empty, with a sign, or said to be wrong when it is read
            if (value := float(row[column])) > 0:
                cell = f"{row[column]} for {row['model']} in column {column!r}"
                found.setdefault(value > 1, cell)
    if len(found) == 2:
        values = f"{found[False]}, beside {found[True]}"
        remedy = "write less than one percent with its sign, as 0.8%"
        raise _wrong(file, "accuracies all in percent or all as fractions", f"{values}; {remedy}")
    return True in found


def _accuracy(file: Path, row: Cells, column: str, percent: bool) -> Accuracy:
    text, counts = row[column], COUNTS.fullmatch(column)
    try:
        number = float(text.removesuffix("%") if counts is None else text)
        if counts is None:
            return Accuracy(number / 100 if percent or text.endswith("%") else number)
        return Accuracy.of(int(number) if number.is_integer() else -1, int(counts[2]))
    except ValueError as error:
        what = "an accuracy" if counts is None else f"a number of images up to {counts[2]}"
        found = f"{text!r} for {row['model']}"
        raise _wrong(file, f"{what} in column {column!r}", found) from error


def _wrong(file: Path, expected: str, found: str) -> InputError:
    return InputError(f"Expected {expected} in {file}, but got {found}. Correct the table.")
