"""Test sets of ImageNet's classes with one folder a class; labels are those of the 1000 classes."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from diffclf_lightning.datamodules.imagenet import NAMES, SYNSETS
from diffclf_lightning.datamodules.names import read_lines
from diffclf_lightning.datamodules.published import ManualSet
from diffclf_lightning.datamodules.sets import FileImages, image_files, relative_keys
from diffclf_lightning.errors import InputError

LABEL_OF = {synset: label for label, synset in enumerate(SYNSETS)}


def labels_of_synsets(file: str) -> dict[str, int]:
    """Labels of some of ImageNet's classes.

    Args:
        file: Name of a text file in ``data`` with one synset a line.

    Returns:
        Label of each synset, ascending.
    """
    return {synset: LABEL_OF[synset] for synset in read_lines(file)}


class ClassFolders(ManualSet):
    """Images in one folder a class, in the set's own folder, which may be ``root`` itself.

    See :class:`ManualSet` for the arguments.
    """

    folders: ClassVar[Sequence[str]]
    """Where the set's own folder may lie below ``root``."""
    label_of: ClassVar[Mapping[str, int]] = LABEL_OF
    """Label of each class folder, ascending."""
    class_folder: ClassVar[re.Pattern[str]] = re.compile(r"n\d{8}")
    """What names of class folders look like."""
    classnames = NAMES

    @property
    def own_folder(self) -> Path | None:
        """The set's own folder below ``root``, if there is one."""
        below = (self.root / folder for folder in self.folders)
        return next((folder for folder in below if folder.is_dir()), None)

    @property
    def candidate_labels(self) -> tuple[int, ...] | None:
        """The labels that the set can hold, ascending; none for all 1000."""
        labels = tuple(self.label_of.values())
        return labels if len(labels) < len(NAMES) else None

    def read(self) -> FileImages:
        """See :meth:`SingleSet.read`."""
        base = self.own_folder or self.root
        self._check_folders(base)
        rows = sorted(
            (key, file, label)
            for name, label in self.label_of.items()
            for file in image_files(base / name)
            for key in relative_keys([file], base)
        )
        if not rows:
            raise self.missing(f"no images in class folders of {base}")
        keys, files, labels = zip(*rows, strict=True)
        self.check_count(len(rows), self._absent(set(labels)))
        return FileImages(files, labels, keys, self.candidate_labels)

    def _check_folders(self, base: Path) -> None:
        entries = sorted(base.iterdir()) if base.is_dir() else []
        names = [e.name for e in entries if self.class_folder.fullmatch(e.name) and e.is_dir()]
        unknown = [name for name in names if name not in self.label_of]
        if unknown:
            raise InputError(
                f"Expected folders of the {len(self.label_of)} classes of {self.title} in {base}, "
                f"but got {', '.join(unknown[:5])}{' and more' if len(unknown) > 5 else ''}. Check "
                f"that the folder holds {self.title} alone, as it was published at {self.address}."
            )

    def _absent(self, labels: Collection[int]) -> str:
        absent = [name for name, label in self.label_of.items() if label not in labels]
        if not absent:
            return ""
        return (
            f"{len(absent)} of its {len(self.label_of)} class folders are missing or empty, the "
            f"first being {absent[0]}"
        )
