"""Sets that read an image when it is asked for, and what finds and checks their files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from diffclf_lightning.datamodules.base import UNREADABLE, ImageSet


class FileImages(ImageSet):
    """One image a file, as RGB.

    Args:
        files: The files.
        labels: Label of each file.
        keys: A name for each file that is the same on every machine.
        candidate_labels: See :class:`ImageSet`. Defaults to None: all labels.
    """

    def __init__(
        self,
        files: Sequence[Path],
        labels: Sequence[int],
        keys: Sequence[str],
        candidate_labels: Sequence[int | Sequence[int]] | None = None,
    ) -> None:
        super().__init__(labels, candidate_labels, keys)
        self.files = list(files)

    def image(self, index: int) -> Image.Image:
        with Image.open(self.files[index]) as stored:
            return stored.convert("RGB")

    def location(self, index: int) -> str:
        return str(self.files[index])


class IndexedImages(ImageSet):
    """Images of an indexed data set of ``(image, label)``; their keys are their positions.

    Args:
        dataset: The data set, which gives PIL images.
        labels: Label of each image, so that no image is read to learn it.
    """

    def __init__(self, dataset: Any, labels: Iterable[int]) -> None:
        super().__init__([int(label) for label in labels])
        self.dataset = dataset

    def image(self, index: int) -> Image.Image:
        image: Image.Image = self.dataset[index][0]
        return image


def image_files(folder: Path) -> list[Path]:
    """Images below a folder, sorted, without hidden files and folders."""
    files = (file for file in folder.rglob("*") if file.suffix.lower() in IMG_EXTENSIONS)
    return sorted(
        file
        for file in files
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


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
