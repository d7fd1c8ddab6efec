"""Class names that ship with the package, so that they are known before the data is there."""

from pathlib import Path
from urllib.parse import unquote

from diffclf_lightning.errors import InputError

CODED = "/\\_%"
"""Letters that stand as percent codes in names of folders."""
FOLDER = Path(__file__).parent / "data"


def read_lines(file: str) -> tuple[str, ...]:
    """Lines of a file in ``data``, without the comments that state its source."""
    lines = (FOLDER / file).read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if not line.startswith("#"))


def for_prompt(name: str) -> str:
    """The name of a class in files or folders, as it reads in a prompt.

    Spaces stand for underscores, and letters for their percent codes (:func:`folder_name`).

    Example:
        >>> for_prompt("F%2FA-18"), for_prompt("apple_pie")
        ('F/A-18', 'apple pie')
    """
    return unquote(" ".join(name.replace("_", " ").split()))


def folder_name(name: str) -> str:
    """The name of a class as a folder, from which :func:`for_prompt` makes the same name again.

    What no folder can be called is a percent code: slashes, underscores, a dot at the beginning.

    Raises:
        InputError: If that is not possible.

    Example:
        >>> folder_name("F/A-18")
        'F%2FA-18'
    """
    coded = "".join(f"%{ord(letter):02X}" if letter in CODED else letter for letter in name)
    coded = f"%2E{coded[1:]}" if coded.startswith(".") else coded
    if not name or for_prompt(coded) != name:
        raise InputError(
            f"Expected a class name without spaces at its ends or in a row, but got {name!r}."
        )
    return coded
