"""Files that are there whole or not at all, and last when they are there."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from diffclf_lightning.errors import InputError

PARTIAL = ".partial"
"""End of the name of a file that is being written."""


def write_whole(file: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all.

    Args:
        file: The file.
        text: Its content.

    Raises:
        InputError: If it cannot be written.
    """
    with appearing(file) as partial:
        partial.write_text(text, encoding="utf-8")


def draw_whole(figure: Any, file: Path, **options: Any) -> None:
    """Draw a figure of matplotlib into a file, so that it is there whole or not at all.

    Args:
        figure: The figure.
        file: The file, whose suffix says its kind.
        **options: As ``figure.savefig`` takes them.

    Raises:
        InputError: If it cannot be written.
    """
    with appearing(file) as partial:
        kind = file.suffix.removeprefix(".") or "png"
        figure.savefig(partial, format=kind, dpi=150, **options)


@contextmanager
def appearing(file: Path) -> Iterator[Path]:
    """Have a file appear when it is written and on the disk, in place of what was there.

    Args:
        file: The file.

    Yields:
        Where to write it.

    Raises:
        InputError: If it cannot be written; what was there stays.
    """
    partial = file.with_name(f"{file.name}.{os.getpid()}{PARTIAL}")
    try:
        yield partial
        to_disk(partial)
        partial.replace(file)
        to_disk(file.parent)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise InputError(
            f"Expected to write {str(file)!r}, but got: {error.strerror or error}. What was there "
            "is as it was."
        ) from error
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Have it told in one line if the disk refuses a change.

    Args:
        path: What is renamed or removed, or the folder in which that happens.

    Raises:
        InputError: If it refuses.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"Expected to change {str(path)!r}, but got: {error.strerror or error}. What is stored "
            "stays, and the same command goes on from it."
        ) from error


def made(folder: Path) -> Path:
    """A folder, made with those above it if it is not there.

    Args:
        folder: The folder.

    Raises:
        InputError: If there is something else, or it cannot be made.
    """
    try:
        new = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for one in new:
            to_disk(one.parent)
    except OSError as error:
        raise InputError(
            f"Expected {str(folder)!r} to be a folder, or to be made as one, but got: "
            f"{error.strerror or error}. Choose another."
        ) from error
    return folder


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would outlast a loss of power.

    Args:
        path: The file or the folder.

    Raises:
        OSError: If the disk fails; file systems that know no such thing for folders are passed
            over.
    """
    folder = path.is_dir()
    if folder and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (folder and error.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(descriptor)
