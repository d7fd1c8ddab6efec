"""Sets that read an image when it is asked for, and what finds and checks their files."""

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image

from diffclf_lightning.datamodules.base import ImageSet
from diffclf_lightning.errors import InputError
from diffclf_lightning.images import UNREADABLE, is_grey, open_image

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Kinds of files that are read in folders, torchvision's."""


class FileImages(ImageSet):
    """One image a file, as a viewer shows it, in RGB.

    Each kind of conversion is said once, of the first image that needs it.

    Args:
        files: The files.
        labels: Label of each file; None if they are not known.
        keys: A name for each file that is the same on every machine.
        candidate_labels: See :class:`ImageSet`. Defaults to None: all labels.
        background: Colour behind transparent pixels.
    """

    def __init__(
        self,
        files: Sequence[Path],
        labels: Sequence[int] | None,
        keys: Sequence[str],
        candidate_labels: Sequence[int | Sequence[int]] | None = None,
        background: str = "white",
    ) -> None:
        super().__init__(labels, candidate_labels, keys)
        self.files, self.background = list(files), background
        self._said: set[str] = set()

    def image(self, index: int) -> Image.Image:
        image = open_image(self.files[index], self.background, partial(self._notice, index))
        return image if image.mode == "RGB" else image.convert("RGB")

    def _notice(self, index: int, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            warnings.warn(
                f"{self.location(index)} {what}. So it is with every other such image of its set.",
                stacklevel=2,
            )

    def location(self, index: int) -> str:
        return str(self.files[index])


class PublishedImages(FileImages):
    """One image a file, as published evaluations read it: in RGB, not turned, without background.

    What EXIF says of the orientation and of transparency is left aside, so that results are those
    of the published test set.
    """

    def image(self, index: int) -> Image.Image:
        with Image.open(self.files[index]) as stored:
            return as_stored(stored.convert("RGB"))


def as_stored(image: Image.Image) -> Image.Image:
    """An image that nothing turns later."""
    image.info = {}
    return image


class IndexedImages(ImageSet):
    """Images of an indexed data set of ``(image, label)``; their keys are their positions.

    They are taken as they come, and not turned.

    Args:
        dataset: The data set, which gives PIL images.
        labels: Label of each image, so that no image is read to learn it.
    """

    def __init__(self, dataset: Any, labels: Iterable[int]) -> None:
        super().__init__([int(label) for label in labels])
        self.dataset = dataset

    def image(self, index: int) -> Image.Image:
        return as_stored(self.dataset[index][0])


def is_image(file: Path) -> bool:
    """Whether a file is of a kind that is read in folders, by its name."""
    return file.suffix.lower() in SUFFIXES


def image_files(folder: Path, left_out: Counter[str] | None = None) -> list[Path]:
    """Images below a folder, sorted, without hidden files and folders.

    Args:
        folder: The folder.
        left_out: Counts the other files, by suffix. Defaults to None.

    Raises:
        InputError: If a folder cannot be read.
    """
    files = []
    for entry in _entries(folder):
        file = Path(entry)
        if is_image(file) and (entry.is_symlink() or entry.is_file()):  # that dangles is missing
            files.append(file)
        elif left_out is not None:
            left_out[file.suffix.lower() or file.name] += 1
    return sorted(files)


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """What lies below a folder and is none, by listing each folder once; links are not followed."""
    if not folder.is_dir():
        return
    try:
        with os.scandir(folder) as listed:
            entries = [entry for entry in listed if not entry.name.startswith(".")]
        linked = {one.name for one in entries if one.is_symlink() and Path(one).is_dir()}
    except OSError as error:
        raise InputError(
            f"Expected folders that can be read, but got {str(folder)!r} ({error.strerror})."
        ) from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry))
        elif entry.name not in linked:
            yield entry


def say_left_out(left_out: Counter[str], folder: str | Path) -> None:
    """Warn of the files below a folder that are not read, if there are any."""
    if left_out:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in left_out.most_common())
        rank_zero_warn(
            f"Left out below {folder}: {counts}. Images are files of {', '.join(SUFFIXES)}; "
            "convert others that are images."
        )


def image_shape(images: ImageSet, most: int = 200) -> tuple[int, int]:
    """Channels and side of the images of a set, by a sample of them.

    Args:
        images: The set.
        most: Number of images to read, evenly spaced in the set.

    Returns:
        1 if all are grey and 3 if not, and the median of the short sides in pixels.

    Raises:
        InputError: If none can be read.
    """
    count = min(len(images), most)
    sides, grey = [], True
    for place in range(count):
        try:
            image = images.image(place * len(images) // count)
            image.load()
        except UNREADABLE:
            continue
        sides.append(min(image.size))
        grey = grey and is_grey(image)
    if not sides:
        raise InputError(f"Expected images that can be read, but got none in {count} files.")
    return 1 if grey else 3, int(np.median(sides))


def relative_keys(files: Iterable[Path], folder: Path) -> list[str]:
    """Names of files below a folder: relative paths with forward slashes."""
    return [file.relative_to(folder).as_posix() for file in files]


def missing_files(files: Sequence[Path]) -> list[int]:
    """Positions of the files that do not exist, found by listing each folder once."""
    listed = {
        parent: {entry.name for entry in parent.iterdir()} if parent.is_dir() else set()
        for parent in {file.parent for file in files}
    }
    return [i for i, file in enumerate(files) if file.name not in listed[file.parent]]


ENDS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND"}
"""Bytes that close a whole file of these kinds."""


def damaged_files(files: Sequence[Path]) -> list[int]:
    """Positions of the files that cannot be read, by their last bytes.

    A file without a proper end is decoded before it is called damaged, since some sound files go
    on after their end. File types without a known end are not checked.
    """
    return [i for i, file in enumerate(files) if not _has_end(file) and not _decodes(file)]


def _has_end(file: Path) -> bool:
    end = ENDS.get(file.suffix.lower())
    if end is None:
        return True
    try:
        with file.open("rb") as content:
            content.seek(max(0, file.stat().st_size - 16))
            return end in content.read()
    except OSError:
        return False


def _decodes(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            image.load()
    except UNREADABLE:
        return False
    return True
