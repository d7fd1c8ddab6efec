"""Sets that read their images only when asked for them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from diffclf_lightning.datamodules.base import UNREADABLE, ImageSet
from diffclf_lightning.errors import InputError


class FileImages(ImageSet):
    """One image a file, as RGB.

    Args:
        files: The files.
        labels: Label of each file.
        keys: A name for each file, that is the same on every machine.
        candidate_labels: See :class:`ImageSet`.
    """

    keys: list[str]

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
        """See :meth:`ImageSet.image`."""
        with Image.open(self.files[index]) as stored:
            return stored.convert("RGB")

    def location(self, index: int) -> str:
        """See :meth:`ImageSet.location`."""
        return str(self.files[index])


class IndexedImages(ImageSet):
    """Images of a data set that gives ``(image, label)`` by index and holds its labels apart.

    Args:
        dataset: The data set.
        labels: Label of each image.
    """

    def __init__(self, dataset: Any, labels: Iterable[int]) -> None:
        labels = [int(label) for label in labels]
        super().__init__(labels, keys=[str(index) for index in range(len(labels))])
        self.dataset = dataset

    def image(self, index: int) -> Image.Image:
        """See :meth:`ImageSet.image`."""
        image: Image.Image = self.dataset[index][0]
        return image


def image_files(folder: Path) -> list[Path]:
    """Images below a folder, sorted; hidden files and folders are left out.

    Args:
        folder: The folder.

    Returns:
        Their paths.
    """
    files = (file for file in folder.rglob("*") if file.suffix.lower() in IMG_EXTENSIONS)
    return sorted(file for file in files if not _is_hidden(file.relative_to(folder)))


def relative_keys(files: Iterable[Path], folder: Path) -> list[str]:
    """Names of files that do not depend on where a folder lies.

    Args:
        files: Files below the folder.
        folder: The folder.

    Returns:
        Relative paths with forward slashes.
    """
    return [file.relative_to(folder).as_posix() for file in files]


def missing_files(files: Sequence[Path]) -> list[int]:
    """Which files do not exist, found by listing each folder once.

    Args:
        files: The files.

    Returns:
        Positions of the missing ones.
    """
    listed = {
        parent: {entry.name for entry in parent.iterdir()} if parent.is_dir() else set()
        for parent in {file.parent for file in files}
    }
    return [i for i, file in enumerate(files) if file.name not in listed[file.parent]]


ENDS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND"}
"""Bytes that close a whole file of these kinds."""


def damaged_files(files: Sequence[Path]) -> list[int]:
    """Which files cannot be read, found by looking at their last bytes.

    A file without a proper end is decoded before it is called damaged: some sound ones carry
    something behind their end. Kinds of files without a known end are not looked at.

    Args:
        files: The files.

    Returns:
        Positions of the damaged ones.
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


def labels_by_name(names: Iterable[str], classnames: Sequence[str]) -> list[int]:
    """Labels of classes whose order is that of a file on the disk, not ours.

    Args:
        names: Names of classes, as in prompts.
        classnames: Names in the order of labels.

    Returns:
        Label of each class.

    Raises:
        InputError: If a name is unknown.
    """
    labels = {name: label for label, name in enumerate(classnames)}
    names = list(names)
    unknown = [name for name in names if name not in labels]
    if unknown:
        raise InputError(
            f"Expected classes among the {len(labels)} known ones, but got "
            f"{', '.join(map(repr, unknown[:5]))}{' and more' if len(unknown) > 5 else ''}. Check "
            "that the folder holds this data set, as it was published."
        )
    return [labels[name] for name in names]


def _is_hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)
