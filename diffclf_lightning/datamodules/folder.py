"""A user's own images: a folder of class folders, or a table of files and labels."""

import csv
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from diffclf_lightning.datamodules.base import ImageSet
from diffclf_lightning.datamodules.names import for_prompt
from diffclf_lightning.datamodules.sets import (
    FileImages,
    image_files,
    missing_files,
    relative_keys,
)
from diffclf_lightning.datamodules.single import Metric, SingleSet
from diffclf_lightning.errors import InputError


class OwnImages(SingleSet):
    """Base of the data modules of a user's own images, for ``validate`` as well as ``test``."""

    def val_dataloader(self) -> Any:
        """A loader of the set; images to validate on must not be those of the test."""
        return self.test_dataloader()


class ImageFolder(OwnImages):
    """A folder with one folder of images for each class; labels follow the sorted folder names.

    Args:
        root: The folder.
        name: Name of the test set. Defaults to ``"folder"``.
        classnames: Class names in the order of the sorted folders. Defaults to None: the folder
            names, with spaces for underscores.
        metric: The metric to report first, ``"accuracy"`` or ``"mean_per_class_accuracy"``.
            Defaults to ``"accuracy"``.
        **kwargs: ``batch_size``, ``num_workers`` and ``on_corrupt`` of :class:`ImageDataModule`.
    """

    def __init__(
        self,
        root: str | Path,
        name: str = "folder",
        classnames: Sequence[str] | None = None,
        metric: Metric = "accuracy",
        **kwargs: Any,
    ) -> None:
        super().__init__(root, **kwargs)
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
                "Expected argument `root` to be a folder with one folder of images for each class, "
                f"but got {str(self.root)!r}, which "
                f"{'has none' if entries else 'is empty or missing'}. Give the folder above the "
                "class folders."
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
                f"Expected one name for each class folder in argument `classnames`, but got "
                f"{len(self._given)} names for {len(self.folders)} labels (the folders of "
                f"{str(self.root)!r}). Give the names in the order of the sorted folders."
            )
        return tuple(self._given)

    def read(self) -> ImageSet:
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
    """A table with the columns ``path`` and ``label``, one row for each image.

    Labels in the table are class names.

    Args:
        file: The table, comma-separated, with a header.
        root: Folder that paths are relative to. Defaults to None: the folder of the table.
        name: Name of the test set. Defaults to ``"csv"``.
        classnames: Class names in the order of labels. Defaults to None: the names in the table,
            sorted. A name that is repeated here must not be a label of the table.
        metric: The metric to report first, ``"accuracy"`` or ``"mean_per_class_accuracy"``.
            Defaults to ``"accuracy"``.
        **kwargs: ``batch_size``, ``num_workers`` and ``on_corrupt`` of :class:`ImageDataModule`.
    """

    def __init__(
        self,
        file: str | Path,
        root: str | Path | None = None,
        name: str = "csv",
        classnames: Sequence[str] | None = None,
        metric: Metric = "accuracy",
        **kwargs: Any,
    ) -> None:
        self.file = Path(file).expanduser()
        super().__init__(self.file.parent if root is None else root, **kwargs)
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
        absent = [column for column in ("path", "label") if column not in header]
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
        lines, paths, names = zip(*self.rows, strict=True)
        self._check_unique(names)
        label_of = {name: label for label, name in enumerate(self.classnames)}
        files = [self.root / path for path in paths]
        missing, seen = set(missing_files(files)), set()
        for place, line in enumerate(lines):
            if names[place] not in label_of:
                raise self._wrong(line, "a label among `classnames`", repr(names[place]))
            if paths[place] in seen:
                raise self._wrong(line, "each image once", f"{paths[place]!r} again")
            if place in missing:
                raise self._wrong(line, "a file", f"{files[place]}, which does not exist")
            seen.add(paths[place])
        return FileImages(files, [label_of[name] for name in names], paths)

    def _check_unique(self, used: Collection[str]) -> None:
        counts = Counter(self.classnames)
        repeated = [name for name in counts if counts[name] > 1 and name in used]
        if repeated:
            raise InputError(
                f"Expected each label of {self.file} to be the name of one class, but argument "
                f"`classnames` repeats {', '.join(map(repr, repeated))}. Give these classes names "
                "that differ, in `classnames` and in the table."
            )

    def _cell(self, line: int, row: dict[str, str | None], column: str) -> str:
        value = (row[column] or "").strip()
        if not value:
            raise self._wrong(line, f"a value in column {column}", "an empty cell")
        return value

    def _wrong(self, line: int, expected: str, found: str) -> InputError:
        return InputError(
            f"Expected {expected} in line {line} of {self.file}, but got {found}. Correct the row."
        )
