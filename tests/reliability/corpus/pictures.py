"""Folders of images that cases need."""

import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from corpus.case import Prepare

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def digit(number: int = 3, size: tuple[int, int] = (32, 32), mode: str = "L") -> Image.Image:
    """A bright bar on black, elsewhere for every number."""
    pixels = np.zeros((32, 32), np.uint8)
    pixels[4:28, 3 * number : 3 * number + 3] = 255
    return Image.fromarray(pixels).resize(size).convert(mode)


def images(root: str = "images", classes: Sequence[str] = tuple(WORDS), count: int = 1) -> Prepare:
    """A folder of each class."""

    def write(folder: Path) -> None:
        for number, name in enumerate(classes):
            (folder / root / name).mkdir(parents=True)
            for i in range(count):
                digit(number % 10).save(folder / root / name / f"{i}.png")

    return write


def add(file: str, image: Image.Image | None = None, **options: Any) -> Prepare:
    """One image file, in the format of its name or of ``format``."""

    def write(folder: Path) -> None:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        (digit() if image is None else image).save(path, **options)

    return write


def encoded(kind: str = "PNG", image: Image.Image | None = None) -> bytes:
    """The bytes of a file."""
    stored = io.BytesIO()
    (digit() if image is None else image).save(stored, kind)
    return stored.getvalue()


def link(target: str, file: str, directory: bool = False) -> Prepare:
    """A symbolic link."""

    def write(folder: Path) -> None:
        (folder / file).symlink_to(target, directory)

    return write


def cut(file: str, share: float) -> Prepare:
    """Cuts a file short."""

    def write(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: int(share * len(content))])

    return write


def empty(name: str) -> Prepare:
    """An empty folder."""
    return lambda folder: (folder / name).mkdir(parents=True)


def fifo(name: str) -> Prepare:
    """A pipe, which never ends."""
    return lambda folder: os.mkfifo(folder / name)


def without(path: str) -> Prepare:
    """Takes a file or a folder away."""

    def remove(folder: Path) -> None:
        found = folder / path
        shutil.rmtree(found) if found.is_dir() else found.unlink()

    return remove
