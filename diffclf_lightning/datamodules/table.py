"""ImageCSV: a user's own images, in a table of files and labels."""

import csv
import os
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from diffclf_lightning.classnames import with_nearest
from diffclf_lightning.datamodules.own import OwnImage, OwnImages
from diffclf_lightning.datamodules.sets import missing_files
from diffclf_lightning.datamodules.splits import split_of
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of

OPTIONAL = ("label", "split", "set")


class ImageCSV(OwnImages):
    """A table with the columns ``path`` and ``label``, one row for each image.

    Labels in the table are class names; without that column the images are for ``predict``. A
    column ``split`` holds ``train``, ``val`` or ``test``, a column ``set`` the name of the test
    set that an image to test on belongs to.

    Args:
        file: The table, comma-separated, with a header.
        root: Folder that paths are relative to. Defaults to None: the folder of the table.
        name: Name of the test set. Defaults to ``"csv"``.
        classnames: Class names in the order of labels. Defaults to None: the names in the table,
            sorted. A name that is repeated here must not be a label of the table.
        **kwargs: ``metric``, ``val_share``, ``test_share``, ``seed``, ``augment``,
            ``background`` and ``shots`` of :class:`OwnImages`; ``batch_size``, ``num_workers`` and
            ``on_corrupt`` of :class:`ImageDataModule`.
    """

    def __init__(
        self,
        file: str | Path,
        root: str | Path | None = None,
        name: str = "csv",
        classnames: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.file = path_of(file)
        super().__init__(self.file.parent if root is None else root, name, classnames, **kwargs)

    @cached_property
    def rows(self) -> list[tuple[int, dict[str, str]]]:
        """Line and cells of each image, of the columns that are known.

        Raises:
            InputError: If the table is missing or empty, or lacks a column or a cell.
        """
        try:
            with self.file.open(newline="", encoding="utf-8-sig") as opened:
                reader = csv.DictReader(opened)
                reader.fieldnames = header = [name.strip() for name in reader.fieldnames or ()]
                rows = [(reader.line_num, row) for row in reader]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(
                f"Expected argument `file` to be a comma-separated table in UTF-8, but got "
                f"{str(self.file)!r} ({error})."
            ) from error
        if "path" not in header or not rows:
            raise InputError(
                f"Expected columns path,label and at least one row in {self.file}, but got "
                f"{'no rows' if 'path' in header else 'no column path'}. The first line names the "
                "columns."
            )
        columns = ["path", *(column for column in OPTIONAL if column in header)]
        for column in columns:
            if header.count(column) > 1:
                self._wrong(1, "each column once", f"{column!r} again")
        for line, row in rows:
            if None in row:  # as behind a comma in a name without quotes
                self._wrong(line, f"{len(header)} cells", "more")
            for column in columns:
                if not (row[column] or "").strip():
                    self._wrong(line, f"a value in column {column}", "an empty cell")
        return [(line, {column: row[column].strip() for column in columns}) for line, row in rows]

    @property
    def classnames(self) -> Sequence[str] | None:  # type: ignore[override]
        """Class names in the order of labels; None where the table has no labels."""
        if self._given is not None:
            return tuple(self._given)
        return tuple(sorted({row["label"] for _, row in self.rows if "label" in row})) or None

    @property
    def unlabelled(self) -> str:
        return f"no column label in {self.file}"

    def read(self) -> list[OwnImage]:
        self._check_unique({row["label"] for _, row in self.rows if "label" in row})
        label_of = {name: label for label, name in enumerate(self.classnames or ())}
        files = [self.root / row["path"] for _, row in self.rows]
        missing, images = set(missing_files(files)), []
        for place, (line, row) in enumerate(self.rows):
            label, split, set_name = (row.get(column) for column in OPTIONAL)
            if label is not None and label not in label_of:
                found = with_nearest([label], label_of)
                self._wrong(line, "a label among `classnames`", found)
            if split is not None and (split := split_of(split)) is None:
                self._wrong(line, "train, val or test in column split", repr(row["split"]))
            if place in missing:
                self._wrong(line, "a file", f"{files[place]}, which does not exist")
            number = None if label is None else label_of[label]
            images.append(OwnImage(files[place], row["path"], number, split, set_name))
        self._check_once(images)
        return images

    def _check_once(self, images: Sequence[OwnImage]) -> None:
        """An image may be in several test sets, but not in a set twice, or in several splits."""
        seen: dict[Path, OwnImage] = {}
        pairs: set[tuple[Path, str | None]] = set()
        for (line, _), image in zip(self.rows, images, strict=True):
            file = Path(os.path.normpath(image.file))  # that two paths may lead to
            first = seen.setdefault(file, image)
            tested = image.split in (None, "test")
            pair = (file, image.set_name if tested else None)
            if pair in pairs or (first.split, first.label) != (image.split, image.label):
                self._wrong(line, "each image once", f"{image.key!r} again")
            pairs.add(pair)

    def _check_unique(self, used: Collection[str]) -> None:
        counts = Counter(self.classnames)
        repeated = [name for name in counts if counts[name] > 1 and name in used]
        if repeated:
            raise InputError(
                f"Expected each label of {self.file} to be the name of one class, but argument "
                f"`classnames` repeats {', '.join(map(repr, repeated))}. Give these classes names "
                "that differ, in `classnames` and in the table."
            )

    def _wrong(self, line: int, expected: str, found: str) -> NoReturn:
        raise InputError(
            f"Expected {expected} in line {line} of {self.file}, but got {found}. Correct the row."
        )
