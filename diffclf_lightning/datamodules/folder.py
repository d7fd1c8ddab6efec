"""People's own images: a folder of class folders, or a table of files and labels."""

import csv
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from diffclf_lightning.datamodules.base import ImageSet, OnCorrupt
from diffclf_lightning.datamodules.names import for_prompt
from diffclf_lightning.datamodules.sets import (
    FileImages,
    image_files,
    missing_files,
    relative_keys,
)
from diffclf_lightning.datamodules.single import Metric, SingleSet
from diffclf_lightning.errors import InputError

COLUMNS = ("path", "label")


class OwnImages(SingleSet):
    """A person's own images, which serve ``validate`` as well as ``test``."""

    def val_dataloader(self) -> Any:
        """The images of the set: for ``validate``, hold them out from the test."""
        return self.test_dataloader()


class ImageFolder(OwnImages):
    """A folder with one folder of images a class; labels follow the sorted names of folders.

    Args:
        root: The folder.
        name: Name of the test set.
        classnames: Class names in the order of the sorted folders; the folders' names, with
            spaces for underscores, when not given.
        metric: The metric by which the set is to be judged.
        batch_size: Images in a batch.
        num_workers: Worker processes that load images.
        on_corrupt: What an image that cannot be read does: ``stop`` the run, or be left out
            (``skip``) with a warning.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        name: str = "folder",
        classnames: Sequence[str] | None = None,
        metric: Metric = "accuracy",
        batch_size: int = 64,
        num_workers: int = 0,
        on_corrupt: OnCorrupt = "stop",
    ) -> None:
        super().__init__(root, batch_size, num_workers, on_corrupt)
        self.name, self.metric = name, metric
        self._given = classnames

    @cached_property
    def folders(self) -> list[Path]:
        """The class folders, sorted by name.

        Raises:
            InputError: If there are none.
        """
        entries = sorted(self.root.iterdir()) if self.root.is_dir() else []
        folders = [entry for entry in entries if entry.is_dir() and entry.name[0] != "."]
        if not folders:
            raise InputError(
                f"Expected argument `root` to be a folder with one folder of images a class, but "
                f"got {str(self.root)!r}, which {'has none' if entries else 'is empty or missing'}."
                " Give the folder above the class folders."
            )
        return folders

    @cached_property
    def classnames(self) -> Sequence[str]:  # type: ignore[override]
        """Class names in the order of labels.

        Raises:
            InputError: If there are not as many names as class folders.
        """
        if self._given is None:
            return tuple(for_prompt(folder.name) for folder in self.folders)
        if len(self._given) != len(self.folders):
            raise InputError(
                f"Expected one name a class folder in argument `classnames`, but got "
                f"{len(self._given)} names for {len(self.folders)} labels (the folders of "
                f"{str(self.root)!r}). Give the names in the order of the sorted folders."
            )
        return tuple(self._given)

    def read(self) -> ImageSet:
        """See :meth:`SingleSet.read`."""
        files: list[Path] = []
        labels: list[int] = []
        for label in range(len(self.classnames)):
            found = image_files(self.folders[label])
            if not found:
                raise InputError(
                    f"Expected images in class folder {self.folders[label]}, but got none. Add "
                    "images, or remove the folder."
                )
            files += found
            labels += [label] * len(found)
        return FileImages(files, labels, relative_keys(files, self.root))


class ImageCSV(OwnImages):
    """A table with columns ``path`` and ``label``, one image a row; labels are class names.

    Args:
        file: The table, comma-separated, with a header.
        root: Folder that paths are relative to; the table's own when not given.
        name: Name of the test set.
        classnames: Class names in the order of labels; the sorted names of the table when not
            given.
        metric: The metric by which the set is to be judged.
        batch_size: Images in a batch.
        num_workers: Worker processes that load images.
        on_corrupt: What an image that cannot be read does: ``stop`` the run, or be left out
            (``skip``) with a warning.

    Raises:
        InputError: If an argument is out of range, or a name is given twice.
    """

    def __init__(
        self,
        file: str | Path,
        root: str | Path | None = None,
        name: str = "csv",
        classnames: Sequence[str] | None = None,
        metric: Metric = "accuracy",
        batch_size: int = 64,
        num_workers: int = 0,
        on_corrupt: OnCorrupt = "stop",
    ) -> None:
        self.file = Path(file).expanduser()
        super().__init__(
            self.file.parent if root is None else root, batch_size, num_workers, on_corrupt
        )
        if classnames is not None and len(set(classnames)) < len(classnames):
            raise InputError(
                f"Expected argument `classnames` to hold each name once, but got {classnames}."
            )
        self.name, self.metric = name, metric
        self._given = classnames

    @cached_property
    def rows(self) -> list[tuple[int, str, str]]:
        """Line, path and class name of each image.

        Raises:
            InputError: If the table is missing or empty, or lacks a column or a cell.
        """
        try:
            with self.file.open(newline="", encoding="utf-8-sig") as opened:
                reader = csv.DictReader(opened)
                header = reader.fieldnames or ()
                cells = [(reader.line_num, row) for row in reader]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(
                f"Expected argument `file` to be a comma-separated table in UTF-8, but got "
                f"{str(self.file)!r} ({error})."
            ) from error
        absent = [column for column in COLUMNS if column not in header]
        if absent or not cells:
            raise InputError(
                f"Expected columns path,label and at least one row in {self.file}, but got "
                f"{f'no column {absent[0]}' if absent else 'no rows'}. The first line names the "
                "columns."
            )
        return [
            (line, self._cell(line, row, "path"), self._cell(line, row, "label"))
            for line, row in cells
        ]

    @cached_property
    def classnames(self) -> Sequence[str]:  # type: ignore[override]
        """Class names in the order of labels."""
        if self._given is not None:
            return tuple(self._given)
        return tuple(sorted({label for _, _, label in self.rows}))

    def read(self) -> ImageSet:
        """See :meth:`SingleSet.read`."""
        label_of = {name: label for label, name in enumerate(self.classnames)}
        seen: set[str] = set()
        for line, path, label in self.rows:
            if label not in label_of:
                raise self._wrong(line, "a label among `classnames`", f"{label!r}")
            if path in seen:
                raise self._wrong(line, "each image once", f"{path!r} again")
            seen.add(path)
        files = [self.root / path for _, path, _ in self.rows]
        missing = missing_files(files)
        if missing:
            line, file = self.rows[missing[0]][0], files[missing[0]]
            raise self._wrong(line, "a file", f"{file}, which does not exist")
        labels = [label_of[label] for _, _, label in self.rows]
        return FileImages(files, labels, [path for _, path, _ in self.rows])

    def _cell(self, line: int, row: dict[str, str | None], column: str) -> str:
        value = (row[column] or "").strip()
        if not value:
            raise self._wrong(line, f"a value in column {column}", "an empty cell")
        return value

    def _wrong(self, line: int, expected: str, found: str) -> InputError:
        return InputError(
            f"Expected {expected} in line {line} of {self.file}, but got {found}. Correct the row."
        )
