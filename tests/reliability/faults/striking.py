"""What can befall a run at one of its operations on the files of a folder.

Operations are counted as Python tells them to audit hooks (opening for writing, renaming, linking,
removing, making folders), and ``fsync`` and what pyarrow writes beside them. What strikes does so
before the operation is done, so that the n-th strike is also the state after the one before.
"""

import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

STRUCK = "struck"
"""A file in the working directory, when something has struck."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Journal:
    """What a disk might not yet have of what was done in a folder.

    Args:
        kept: A folder where files are kept that were replaced or removed.
    """

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.kept.mkdir(parents=True, exist_ok=True)
        self.contents: set[Path] = set()
        self.entries: list[tuple[set[Path], Callable[[], Any]]] = []
        self._number = 0

    def note(self, name: str, paths: list[Path]) -> None:
        """Note an operation that is about to be done."""
        first, last = paths[0], paths[-1]
        parents = {path.parent for path in paths}
        if name in ("open", "write"):
            self.contents.add(first)
            if not first.exists():
                self.entries.append((parents, lambda: first.unlink(missing_ok=True)))
        elif name == "os.rename":
            before = self._keep(last)
            if first in self.contents:
                self.contents = self.contents - {first} | {last}
            self.entries.append((parents, lambda: (_move(last, first), _move(before, last))))
        elif name == "os.remove":
            before = self._keep(first)
            self.entries.append((parents, lambda: _move(before, first)))
        elif name in ("os.link", "os.symlink"):
            self.entries.append(({last.parent}, lambda: last.unlink(missing_ok=True)))
        elif name == "os.mkdir" and not first.exists():
            self.entries.append((parents, lambda: shutil.rmtree(first, ignore_errors=True)))
        elif name == "os.rmdir":
            self.entries.append((parents, lambda: first.mkdir(exist_ok=True)))

    def synced(self, path: Path) -> None:
        """Note what is on the disk for certain."""
        self.contents.discard(path)
        if path.is_dir():
            for parents, _ in self.entries:
                parents.discard(path)
            self.entries = [entry for entry in self.entries if entry[0]]

    def _keep(self, path: Path) -> Path | None:
        if not path.is_file():
            return None
        self._number += 1
        kept = self.kept / f"{os.getpid()}-{self._number}"
        os.link(path, kept)
        return kept


def _move(source: Path | None, target: Path) -> None:
    gone = not target.parent.is_dir()  # the folder was removed, which is on the disk
    if source is not None and source.exists() and not gone:
        source.replace(target)


@dataclass(frozen=True)
class Kill:
    """The process ends at once; what it gave to the system is written."""

    def strike(self, journal: Journal, paths: list[Path]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Torn(Kill):
    """The machine stops: of files that were not synced, only a part is there.

    Args:
        share: How much of each.
    """

    share: float = 0.5

    def strike(self, journal: Journal, paths: list[Path]) -> None:
        for path in journal.contents:
            if path.is_file():
                os.truncate(path, int(path.stat().st_size * self.share))
        super().strike(journal, paths)


@dataclass(frozen=True)
class PowerLoss(Torn):
    """The machine stops: nothing is there that was not synced, not even a name."""

    share: float = 0.0

    def strike(self, journal: Journal, paths: list[Path]) -> None:
        try:
            for _, undo in reversed(journal.entries):
                undo()
        finally:
            super().strike(journal, paths)


@dataclass(frozen=True)
class Fails:
    """The operation fails.

    Args:
        code: As in ``errno``.
        lasting: Whether all that follow fail too.
    """

    code: int = errno.ENOSPC
    lasting: bool = False

    def strike(self, journal: Journal, paths: list[Path]) -> None:
        raise OSError(self.code, os.strerror(self.code), str(paths[0]))


@dataclass(frozen=True)
class At:
    """Has something strike at an operation on the files of a folder, in the process that calls it.

    Args:
        number: The operation, from 1.
        what: What strikes.
        folder: Of the files, in the working directory.
    """

    number: int
    what: Kill | Fails
    folder: str = "r"

    def __call__(self) -> None:
        Watch(self, Path.cwd() / self.folder).install()


class Watch:
    """Counts operations on the files of a folder, until something strikes.

    Args:
        at: When and what.
        folder: The folder.
    """

    def __init__(self, at: At, folder: Path) -> None:
        self.at, self.folder, self.count = at, folder, 0
        self.journal = Journal(folder.with_name("kept"))
        self._inside = False

    def install(self) -> None:
        """Begin to count."""
        sys.addaudithook(self._audited)
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._syncing(getattr(os, name)))
        writer = pq.ParquetWriter
        writer.__init__ = self._writing(writer.__init__)
        writer.write_table = self._writing(writer.write_table)
        writer.close = self._writing(writer.close)

    def _audited(self, event: str, args: tuple[Any, ...]) -> None:
        if self._inside or event not in EVENTS:
            return
        if event == "open" and not (args[2] or 0) & WRITES:
            return
        paths, folder = EVENTS[event], Path.cwd()
        if event.startswith("os.") and isinstance(args[-1], int) and args[-1] > 2:
            folder = Path(f"/proc/self/fd/{args[-1]}").resolve()
        named = [name for name in args[:paths] if isinstance(name, str | bytes | os.PathLike)]
        self.operation(event, [folder / os.fsdecode(name) for name in named])

    def _syncing(self, real: Callable[[int], None]) -> Callable[[Any], None]:
        def sync(file: Any) -> None:
            number = file if isinstance(file, int) else file.fileno()
            path = Path(f"/proc/self/fd/{number}").resolve()
            self.operation("fsync", [path])
            real(number)
            self.journal.synced(path)

        return sync

    def _writing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def write(writer: Any, *args: Any, **kwargs: Any) -> Any:
            where = getattr(writer, "where", args[0] if args else None)
            named = where if isinstance(where, str | os.PathLike) else getattr(where, "name", None)
            if isinstance(named, str | os.PathLike) and getattr(writer, "is_open", True):
                try:
                    self.operation("write", [Path.cwd() / named])
                except OSError:
                    if real.__name__ == "close":  # or it would be closed again, and fail again
                        real(writer)
                    raise
            return real(writer, *args, **kwargs)

        return write

    def operation(self, name: str, paths: list[Path]) -> None:
        """Count an operation that is about to be done, or have it struck."""
        paths = [Path(os.path.normpath(path)) for path in paths]
        if self._inside or not any(self._within(path) for path in paths):
            return
        self._inside = True
        try:
            self.count += 1
            lasting = getattr(self.at.what, "lasting", False)
            if self.count == self.at.number or (lasting and self.count > self.at.number):
                (self.folder.parent / STRUCK).touch()
                self.at.what.strike(self.journal, paths)
            self.journal.note(name, paths)
        finally:
            self._inside = False

    def _within(self, path: Path) -> bool:
        return path == self.folder or self.folder in path.parents


EVENTS = {
    "open": 1,
    "os.rename": 2,
    "os.remove": 1,
    "os.link": 2,
    "os.symlink": 2,
    "os.mkdir": 1,
    "os.rmdir": 1,
}
"""Number of paths of each event."""
