"""Class names that ship with the package, so that they are known before the data is there."""

from pathlib import Path

FOLDER = Path(__file__).parent / "data"


def read_lines(file: str) -> tuple[str, ...]:
    """Lines of a file in ``data``, without the comments that state its source."""
    lines = (FOLDER / file).read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if not line.startswith("#"))


def for_prompt(name: str) -> str:
    """The name of a class in files or folders, as it reads in a prompt: no underscores."""
    return " ".join(name.replace("_", " ").split())
