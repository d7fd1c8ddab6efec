"""Tables of accuracies: those that the package ships, and a user's own CSV files.

A table has a column ``model``, may have ``family`` and ``standard`` (1 or 0), and for each test set
one column: ``SET/TOTAL`` holds numbers of correct images of that total, ``SET`` holds accuracies,
all in percent or all as fractions, or with a percent sign. Lines that begin with # are comments.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.robustness.models import Model, Table, first_repeated

FOLDER = Path(__file__).parent / "data"
OTHER_COLUMNS = ("model", "family", "standard")
COUNTS = re.compile(r"(.+)/(\d+)")
Row = Mapping[str, str]


def shipped_tables() -> list[str]:
    """Names of the tables that the package carries."""
    return sorted(file.stem for file in FOLDER.glob("*.csv"))


def read_table(name: str) -> Table:
    """Read a table.

    Args:
        name: A CSV file, or the name of a shipped table.

    Returns:
        The table.

    Raises:
        InputError: If there is none, or it is not as it has to be; the message names the cell.
    """
    file = FOLDER / f"{name}.csv" if name in shipped_tables() else Path(name).expanduser()
    rows = _rows(file)
    columns = [column for column in rows[0] if column not in OTHER_COLUMNS]
    if not columns:
        raise _wrong(file, "a column for each test set", "none beside the model's own")
    percent = _in_percent(file, rows, [c for c in columns if not COUNTS.fullmatch(c)])
    return Table(file.stem, [_model(file, row, columns, percent) for row in rows])


def _rows(file: Path) -> list[Row]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"Expected a table of accuracies, a CSV file or one of {', '.join(shipped_tables())}, "
            f"but got {str(file)!r} ({type(error).__name__})."
        ) from error
    reader = csv.DictReader(line for line in lines if line.strip() and line[0] != "#")
    header = [COUNTS.sub(r"\1", name.strip()) for name in reader.fieldnames or ()]
    repeated = first_repeated(header)
    if repeated is not None:
        raise _wrong(file, "each column once", f"{repeated!r} more than once")
    rows: list[Row] = []
    for row in reader:
        if None in row:
            raise _wrong(
                file, f"{len(header)} cells a row", f"more in line {reader.line_num} of the table"
            )
        rows.append({name.strip(): (value or "").strip() for name, value in row.items()})
    if not rows or "model" not in rows[0]:
        found = f"columns {', '.join(rows[0])}" if rows else "no rows"
        raise _wrong(file, "a column 'model' and at least one row", found)
    names = [row["model"] for row in rows]
    twice = "" if "" in names else first_repeated(names)
    if twice is not None:
        count = names.count(twice)
        raise _wrong(file, "each model once, with a name", f"{twice!r} in {count} rows")
    return rows


def _in_percent(file: Path, rows: Sequence[Row], columns: Sequence[str]) -> bool:
    """Whether accuracies without a sign are percent: all above 1 but for zeros."""
    cells = [
        (value, f"{row[column]} for {row['model']} in column {column!r}")
        for row in rows
        for column in columns
        if row[column] and not row[column].endswith("%")
        if (value := _number(file, row, column, row[column])) > 0
    ]
    large = next((cell for value, cell in cells if value > 1), None)
    small = next((cell for value, cell in cells if value <= 1), None)
    if large and small:
        raise _wrong(
            file,
            "accuracies all in percent or all as fractions",
            f"{small}, beside {large}; write less than one percent with its sign, as 0.8%",
        )
    return large is not None


def _model(file: Path, row: Row, columns: Sequence[str], percent: bool) -> Model:
    accuracies = {}
    for column in columns:
        if row[column]:
            name = COUNTS.sub(r"\1", column)
            accuracies[name] = _accuracy(file, row, column, percent)
    standard = row.get("standard") or "1"
    if standard not in ("0", "1"):
        raise _wrong(file, "1 or 0 in column 'standard'", f"{standard!r} for {row['model']}")
    family = row.get("family") or row["model"]
    return Model(row["model"], family, accuracies, standard == "1")


def _accuracy(file: Path, row: Row, column: str, percent: bool) -> Accuracy:
    text, counts = row[column], COUNTS.fullmatch(column)
    number = _number(file, row, column, text.removesuffix("%") if counts is None else text)
    try:
        if counts is None:
            return Accuracy(number / 100 if percent or text.endswith("%") else number)
        if number != int(number):
            raise InputError(f"{number} is no number of images")
        return Accuracy.of(int(number), int(counts[2]))
    except InputError as error:
        expected = "an accuracy" if counts is None else f"a number of images up to {counts[2]}"
        raise _wrong(
            file, f"{expected} in column {column!r}", f"{text} for {row['model']}"
        ) from error


def _number(file: Path, row: Row, column: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise _wrong(
            file, f"a number in column {column!r}", f"{text!r} for {row['model']}"
        ) from error
    if not isfinite(number):
        raise _wrong(file, f"a finite number in column {column!r}", f"{text} for {row['model']}")
    return number


def _wrong(file: Path, expected: str, found: str) -> InputError:
    return InputError(f"Expected {expected} in {file}, but got {found}. Correct the table.")
