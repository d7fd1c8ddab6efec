"""Parts: rows of batches on the disk, a file each, until a run gathers them."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from diffclf_lightning.errors import InputError
from diffclf_lightning.files import PARTIAL, appearing, changing, made
from diffclf_lightning.results.tables import AGAIN, batches_of, writer

DAMAGED = ".damaged"
"""End of the name of a part that could not be read."""


class Parts:
    """Rows of batches, a file each, numbered as they come: later ones replace earlier ones.

    Args:
        folder: Where they are or shall be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._next: int | None = None

    def files(self) -> list[Path]:
        """The files, the earliest first."""
        return sorted(self.folder.glob("*.parquet"), key=lambda file: (_number(file), file.name))

    def begin(self) -> None:
        """Go on from the largest number that there is, whatever is missing before it."""
        made(self.folder)
        numbers = [_number(file) for file in self.folder.iterdir()]
        self._next = 1 + max(numbers, default=0)

    def add(self, rank: int, rows: pa.Table) -> None:
        """Write a part; it is on the disk when this returns.

        Args:
            rank: The rank that writes.
            rows: Its rows.

        Raises:
            InputError: If it cannot be written.
        """
        if self._next is None:
            self.begin()
        assert self._next is not None
        file = self.folder / f"{self._next:010d}-rank{rank}.parquet"
        self._next += 1
        with appearing(file) as partial, writer(partial, rows.schema) as opened:
            opened.write_table(rows)

    def set_aside(self) -> list[str]:
        """Rename parts that cannot be read, and clear away what was never whole.

        Returns:
            What is wrong with each.

        Raises:
            InputError: If one cannot be renamed or removed.
        """
        with changing(self.folder):
            for file in self.folder.glob(f"*{PARTIAL}"):
                file.unlink()
        damaged = []
        for file in self.files():
            try:
                for _ in batches_of(file):
                    pass
            except InputError as error:
                aside = file.with_name(f"{file.name}{DAMAGED}")
                with changing(file):
                    file.rename(aside)
                done = f"It is {aside.name} now, and its images are evaluated again."
                damaged.append(str(error).replace(AGAIN, done))
        return damaged

    def remove(self, files: Sequence[Path]) -> None:
        """Remove parts that have been gathered, and no other, and the folder if it is empty.

        Args:
            files: The parts.

        Raises:
            InputError: If one cannot be removed.
        """
        with changing(self.folder):
            for file in files:
                file.unlink(missing_ok=True)
            if self.folder.exists() and not any(self.folder.iterdir()):
                self.folder.rmdir()


def _number(file: Path) -> int:
    number = file.name.partition("-")[0]
    return int(number) if number.isdecimal() else 0
