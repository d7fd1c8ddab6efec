"""Prompts: where the candidates of a text-conditioned model come from.

A source makes candidates from the class names of the data; each way of doing so is an object.
"""

import csv
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from diffclf_lightning.candidates import Candidates
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of

Reduction = Literal["min", "mean"]

COLUMNS = ("prompt", "classname")
LABEL, PUBLISHED_LABEL = "label", "classidx"


class Prompts(ABC):
    """Base of the sources of prompts: a subclass gives :meth:`candidates`."""

    @abstractmethod
    def candidates(self, classnames: Sequence[str] | None) -> Candidates:
        """Prompts and their labels.

        Args:
            classnames: Class names in the order of labels, or None if the data has none.

        Raises:
            InputError: If names are needed and there are none, or the names do not fit.
        """


class PromptEnsemble(Prompts):
    """Prompts from templates, one or several for each class.

    Args:
        templates: One or several templates, each with ``{}`` for the class name.
        reduce: How the prompts of a class become one score. ``"min"``: each prompt is a candidate,
            and the score of a class is the lowest among its prompts. ``"mean"``: the mean of the
            text embeddings of its prompts is the only candidate of a class. Defaults to ``"min"``.

    Raises:
        InputError: If there are no templates, a template does not have one place for the name, or
            ``reduce`` is something else.

    Example:
        >>> PromptEnsemble("a photo of a {}.").candidates(["lion", "tiger"]).conditions
        ('a photo of a lion.', 'a photo of a tiger.')
        >>> PromptEnsemble(["a {}.", "the {}."], "mean").candidates(["lion", "tiger"]).conditions
        (('a lion.', 'the lion.'), ('a tiger.', 'the tiger.'))
    """

    def __init__(self, templates: str | Sequence[str], reduce: Reduction = "min") -> None:
        self.templates = [templates] if isinstance(templates, str) else list(templates)
        if not self.templates:
            raise InputError("Expected at least one of `templates`, but got none.")
        for template in self.templates:
            if template.count("{}") != 1:
                raise InputError(
                    "Expected each of `templates` (`template` of a classifier) to have one place "
                    f"{{}} for the class name, but got {template!r}. Write for instance 'a photo "
                    "of a {}.'."
                )
        if reduce not in get_args(Reduction):
            raise InputError(
                f"Expected argument `reduce` to be 'min' or 'mean', but got {reduce!r}."
            )
        self.reduce = reduce

    def candidates(self, classnames: Sequence[str] | None) -> Candidates:
        if classnames is None:
            raise InputError(
                "Expected argument `classnames` with a template, since the data has none. Give "
                "the class names in the order of labels."
            )
        groups = [tuple(t.replace("{}", name) for t in self.templates) for name in classnames]
        if self.reduce == "mean":
            return Candidates(groups, range(len(groups)))
        labels = [label for label, group in enumerate(groups) for _ in group]
        return Candidates([prompt for group in groups for prompt in group], labels)


class PromptFile(Prompts):
    """Prompts from a CSV file, each of which is a candidate; a class may have several.

    The columns are ``prompt``, ``classname`` and ``label``, or ``prompt``, ``classname`` and
    ``classidx`` as in the files of the published zero-shot evaluation. Labels are numbers in the
    class order of the data. Beside ``label``, names must be those of the data. Beside
    ``classidx``, they may be worded differently, but must not be the names of other classes.

    Args:
        file: The file, comma-separated, with a header.
    """

    def __init__(self, file: str | Path) -> None:
        self.file = path_of(file)

    def candidates(self, classnames: Sequence[str] | None) -> Candidates:
        column, rows = self._rows()
        if not rows:
            raise InputError(f"Expected prompts in {self.file}, but it has no line of data.")
        labels = [self._label(line, row[column], classnames) for line, row in rows]
        if classnames is not None:
            for (line, row), label in zip(rows, labels, strict=True):
                self._check_name(line, row["classname"], label, classnames, column)
        return Candidates([row["prompt"] for _, row in rows], labels)

    def _label(self, line: int, cell: str, classnames: Sequence[str] | None) -> int:
        label = int(cell) if cell.isdecimal() else -1
        if label < 0 or (classnames is not None and label >= len(classnames)):
            last = "up" if classnames is None else f"to {len(classnames) - 1}"
            raise InputError(
                f"Expected labels from 0 {last} in {self.file}, but line {line} has {cell!r}. "
                "Labels are numbers in the class order of the data."
            )
        return label

    def _check_name(
        self, line: int, name: str, label: int, classnames: Sequence[str], column: str
    ) -> None:
        if name == classnames[label] or (column != LABEL and name not in classnames):
            return
        raise InputError(
            f"Expected class {classnames[label]!r} for {column} {label} in {self.file}, but line "
            f"{line} has {name!r}. Follow the class order of the data, and its names."
        )

    def _rows(self) -> tuple[str, list[tuple[int, dict[str, str]]]]:
        """The column of labels, and line number and cells of each row."""
        try:
            with self.file.open(newline="", encoding="utf-8-sig") as lines:
                reader = csv.DictReader(lines)
                header = reader.fieldnames or ()
                rows = [(reader.line_num, row) for row in reader]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(
                f"Expected argument `file` to be a comma-separated table in UTF-8, but got "
                f"{str(self.file)!r} ({error})."
            ) from error
        column = next((name for name in (LABEL, PUBLISHED_LABEL) if name in header), None)
        if column is None or not set(COLUMNS) <= set(header):
            raise InputError(
                f"Expected the columns {', '.join(COLUMNS)} and {LABEL} (or {PUBLISHED_LABEL}) in "
                f"{self.file}, but got {', '.join(header) or 'none'}."
            )
        used = (*COLUMNS, column)
        return column, [
            (line, {name: (row[name] or "").strip() for name in used}) for line, row in rows
        ]
