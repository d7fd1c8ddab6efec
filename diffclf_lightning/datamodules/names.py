"""Class names that ship with the package, so that they are known before the data is there."""

import csv
from pathlib import Path

FOLDER = Path(__file__).parent / "data"


def read_lines(file: str) -> list[str]:
    """Lines of a file in ``data``, less those that state its source.

    Args:
        file: Name of the file.

    Returns:
        The lines.
    """
    lines = (FOLDER / file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def read_classnames(file: str) -> tuple[str, ...]:
    """Class names in the order of labels.

    Args:
        file: Name of a text file in ``data`` with one name a line.

    Returns:
        The names.
    """
    return tuple(read_lines(file))


def read_imagenet_classes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes of ILSVRC 2012, in the order of labels.

    Returns:
        Synsets and names.
    """
    rows = list(csv.DictReader(read_lines("imagenet_classes.csv")))
    return tuple(row["synset"] for row in rows), tuple(row["name"] for row in rows)


def for_prompt(name: str) -> str:
    """A class name as it reads in a prompt: underscores become spaces.

    Args:
        name: Name of a folder, or of a class in a data set's own files.

    Returns:
        The readable name.
    """
    return " ".join(name.replace("_", " ").split())
