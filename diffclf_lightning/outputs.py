"""Where a command writes: what stands in its way is said before it works."""

import os
from collections.abc import Sequence
from pathlib import Path

from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of


def output_file(
    given: str | Path, example: str, suffixes: Sequence[str] = (), flag: str = "--output"
) -> Path:
    """A file that a command is to write.

    Args:
        given: Its path as it was typed.
        example: Name of such a file, for messages.
        suffixes: How it may end. Defaults to anything.
        flag: The argument.

    Returns:
        Its path.

    Raises:
        InputError: If it is a folder, ends otherwise, or cannot be written there.
    """
    file = path_of(given, flag)
    if _is_dir(file, flag):
        raise InputError(
            f"Expected {flag} to be a file, but got the folder {file}. Name a file in it: "
            f"{flag} {file / example}."
        )
    if suffixes and file.suffix.lower() not in suffixes:
        raise InputError(
            f"Expected {flag} to be a file that ends with {' or '.join(suffixes)}, but got "
            f"{str(given)!r}. Name one, for instance {file.with_name(example)}."
        )
    _check_above(file, flag)
    return file


def output_folder(given: str | Path, flag: str = "--output") -> Path:
    """A folder that a command is to write into, made if need be.

    Args:
        given: Its path as it was typed.
        flag: The argument.

    Returns:
        Its path.

    Raises:
        InputError: If it is a file, or cannot be written there.
    """
    folder = path_of(given, flag)
    if not _is_dir(folder, flag) and folder.exists():
        raise InputError(f"Expected {flag} to be a folder, but got the file {folder}.")
    _check_above(folder / "file", flag)
    return folder


def _is_dir(path: Path, flag: str) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # too long, for instance
        raise InputError(
            f"Expected {flag} to be a path that can be written, but got {str(path)!r} "
            f"({error.strerror}). Choose another."
        ) from error


def _check_above(file: Path, flag: str) -> None:
    """Refuse a file whose folder cannot be made or written."""
    above = next((folder for folder in file.parents if folder.exists()), Path())
    if not above.is_dir():
        raise InputError(
            f"Expected {flag} to lie in a folder, but {above} of {file} is a file. Choose another "
            "place."
        )
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(
            f"Expected {flag} to lie where it can be written, but {above} is not yours to write "
            "to. Choose another place."
        )
