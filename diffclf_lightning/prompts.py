"""Prompts: where the candidates of a text-conditioned model come from.

A source makes candidates from the class names of the data; each way of doing so is an object.
"""

import csv
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from diffclf_lightning.candidates import Candidates
from diffclf_lightning.errors import InputError

COLUMNS = ("prompt", "classname", "label")


class Prompts(ABC):
    """Makes candidates from class names."""

    @abstractmethod
    def candidates(self, classnames: Sequence[str] | None) -> Candidates:
        """The candidates.

        Args:
            classnames: Class names in the order of labels, where the data has them.

        Returns:
            Prompts and their labels.

        Raises:
            InputError: If names are needed and there are none, or do not fit.
        """


class EachPrompt(Prompts):
    """Each prompt is a candidate: a label is as good as its best template.

    Args:
        templates: One or several, with ``{}`` for the class name.

    Raises:
        InputError: If a template has no place for the name.

    Example:
        >>> EachPrompt("a photo of a {}.").candidates(["lion", "tiger"]).conditions
        ('a photo of a lion.', 'a photo of a tiger.')
    """

    def __init__(self, templates: str | Sequence[str]) -> None:
        self.templates = [templates] if isinstance(templates, str) else list(templates)
        if not self.templates:
            raise InputError("Expected at least one template, but got none.")
        for template in self.templates:
            if template.count("{}") != 1:
                raise InputError(
                    "Expected argument `template` to have one place {} for the class name, but got "
                    f"{template!r}. Write for instance 'a photo of a {{}}.'."
                )

    def of(self, classnames: Sequence[str] | None) -> list[tuple[str, ...]]:
        """Prompts of each class.

        Args:
            classnames: Class names in the order of labels.

        Returns:
            One prompt a template, for each class.

        Raises:
            InputError: If there are no names.
        """
        if classnames is None:
            raise InputError(
                "Expected argument `classnames` with a template, since the data has none. Give "
                "the class names in the order of labels."
            )
        return [tuple(t.replace("{}", name) for t in self.templates) for name in classnames]

    def candidates(self, classnames: Sequence[str] | None) -> Candidates:
        """See :meth:`Prompts.candidates`."""
        groups = self.of(classnames)
        labels = [label for label, group in enumerate(groups) for _ in group]
        return Candidates([prompt for group in groups for prompt in group], labels)


class MeanEmbedding(EachPrompt):
    """One candidate a class: the mean of the text embeddings of its prompts.

    Args:
        templates: Several templates, with ``{}`` for the class name.

    Raises:
        InputError: If a template has no place for the name.
    """

    def candidates(self, classnames: Sequence[str] | None) -> Candidates:
        """See :meth:`Prompts.candidates`."""
        groups = self.of(classnames)
        return Candidates(groups, range(len(groups)))


class PromptFile(Prompts):
    """Prompts from a CSV file with the columns ``prompt``, ``classname`` and ``label``.

    Args:
        file: The file; labels are numbers from 0.
    """

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)

    def candidates(self, classnames: Sequence[str] | None) -> Candidates:
        """See :meth:`Prompts.candidates`."""
        prompts, labels = [], []
        for line, row in self._rows():
            label = int(row["label"]) if row["label"].isdigit() else -1
            if label < 0 or (classnames is not None and label >= len(classnames)):
                last = "up" if classnames is None else f"to {len(classnames) - 1}"
                raise InputError(
                    f"Expected labels from 0 {last} in {self.file}, but line {line} has "
                    f"{row['label']!r}. Labels are numbers in the class order of the data."
                )
            if classnames is not None and row["classname"] != classnames[label]:
                raise InputError(
                    f"Expected class {classnames[label]!r} for label {label} in {self.file}, but "
                    f"line {line} has {row['classname']!r}. Follow the class order of the data."
                )
            prompts.append(row["prompt"])
            labels.append(label)
        if not prompts:
            raise InputError(f"Expected prompts in {self.file}, but it has no line of data.")
        return Candidates(prompts, labels)

    def _rows(self) -> list[tuple[int, dict[str, str]]]:
        if not self.file.is_file():
            raise InputError(f"Expected a CSV file of prompts, but there is no {self.file}.")
        with self.file.open(newline="") as lines:
            reader = csv.DictReader(lines)
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                raise InputError(
                    f"Expected the columns {', '.join(COLUMNS)} in {self.file}, but got "
                    f"{', '.join(reader.fieldnames or ()) or 'none'}."
                )
            return [(line, row) for line, row in enumerate(reader, start=2)]
