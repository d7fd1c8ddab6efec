"""FolderLock: one run at a time writes into a folder of results, whatever machine it is on."""

import atexit
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from diffclf_lightning.errors import InputError
from diffclf_lightning.files import to_disk

NAME = ".lock"
BEAT = 10.0
"""Seconds between two signs of life."""
STALE = 60.0
"""Seconds without one after which a run counts as dead."""
PAUSE = 0.5
LARGEST = 2**31 - 1
"""Number of a process."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Args:
        host: Name of the machine.
        process: Number of the process.
        machine: What tells apart machines, and containers on one, in which numbers mean something.
        token: Of this holding alone.
    """

    host: str
    process: int
    machine: str
    token: str

    @classmethod
    def me(cls) -> "Owner":
        """This process."""
        return cls(socket.gethostname(), os.getpid(), _machine(), uuid4().hex)

    @property
    def dead(self) -> bool:
        """Whether this is a process of this machine that has ended."""
        if self.machine != _machine():
            return False
        try:
            os.kill(self.process, 0)
            state = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()[0]
        except ProcessLookupError:
            return True
        except OSError:  # another user's, or a machine without /proc
            return False
        return state == "Z"


class FolderLock:
    """The right to write into a folder, with a sign of life by which a dead owner is known.

    The file ``.lock`` names the owner, and its time of change is the sign of life. It is compared
    with that of another file of the folder, so that clocks of machines do not matter.

    Args:
        folder: The folder, which exists.
        say: Told why it takes long.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = print) -> None:
        self.file, self._say = folder / NAME, say
        self._owner = Owner.me()
        self._probe = folder / f"{NAME}.{self._owner.token}"
        self._ended = threading.Event()
        self._beating: threading.Thread | None = None
        self._lost = False

    def acquire(self) -> None:
        """Take the lock, also from an owner that is dead.

        Raises:
            InputError: If another run holds it, or the folder cannot be written.
        """
        try:
            self._ask()
            while not self._taken():
                self._remove_stale()
            self._clear()
        except OSError as error:
            raise InputError(
                f"Expected to write into the folder {str(self.file.parent)!r}, but got: "
                f"{error.strerror or error}. Choose another `results.folder`."
            ) from error
        finally:
            with suppress(OSError):
                self._probe.unlink(missing_ok=True)
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()
        atexit.register(self.release)

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._beating is None or self._owner.process != os.getpid():
            return
        self._ended.set()
        self._beating.join()
        self._beating = None
        atexit.unregister(self.release)
        if _owner(self.file) == self._owner:
            with suppress(OSError):
                self.file.unlink()

    def check(self) -> None:
        """Refuse to go on without the lock.

        Raises:
            InputError: If another run has taken it, because this one gave no sign of life, or it
                was removed.
        """
        if self._lost or self._gone():
            self._lost = True
            why = (
                f"another one took it over: this one had given no sign of life for {STALE:.0f} s. "
                "What was stored stays, and that run goes on from it"
                if self.file.exists()
                else f"its {NAME} is gone, and another one may have begun. What was stored stays: "
                "the same command goes on from it"
            )
            raise InputError(
                f"Expected to be the only run in the folder {str(self.file.parent)!r}, but {why}."
            )

    def _gone(self) -> bool:
        """Whether the lock is another's, or nobody's."""
        try:
            owner = _owner(self.file)
            return owner != self._owner and (owner is not None or not self.file.exists())
        except OSError:  # of a network, which may come back
            return False

    def _ask(self) -> None:
        """Write who asks for the lock, or how late it is; anew if that was cleared away."""
        if self._probe.exists():
            os.utime(self._probe)
        else:
            self._probe.write_text(json.dumps(asdict(self._owner)))
            to_disk(self._probe)  # before it is linked

    def _taken(self) -> bool:
        """Whether this process is the owner now: the file appears whole, and for one alone."""
        try:
            os.link(self._probe, self.file)
        except FileExistsError:
            return self._probe.stat().st_nlink == 2  # a network may have asked twice
        except OSError:  # a file system without links
            try:
                descriptor = os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                return False
            with os.fdopen(descriptor, "w") as file:
                file.write(self._probe.read_text())
        return True

    def _remove_stale(self) -> None:
        """Remove the lock of a dead owner, which is waited for where only time can tell.

        Raises:
            InputError: If the owner lives.
        """
        owner, first, said = _owner(self.file), self._time(self.file), False
        since = time.monotonic()
        while (last := self._time(self.file)) is not None:
            self._ask()
            age = (self._time(self._probe) or last) - last
            still = last == first and time.monotonic() - since > STALE  # clocks may have been put
            if age > STALE or still or (owner is not None and owner.dead):
                self._remove(owner)
                return
            here = owner is not None and owner.machine == self._owner.machine
            if here or last != first:
                raise InputError(self._refusal(owner, age))
            if not said:
                self._say(
                    f"The folder {self.file.parent} belongs to a run on "
                    f"{owner.host if owner else 'another machine'}. It is taken over if that gives "
                    f"no sign of life for {STALE:.0f} s."
                )
            said = True
            time.sleep(PAUSE)

    def _remove(self, owner: Owner | None) -> None:
        aside = self._probe.with_name(f"{self._probe.name}.stale")
        with suppress(FileNotFoundError):  # another run was faster
            self.file.rename(aside)
            if _owner(aside) != owner:  # and this is its lock
                with suppress(FileExistsError):
                    os.link(aside, self.file)
            aside.unlink()

    def _clear(self) -> None:
        """Remove what runs left that were killed while they asked for the lock."""
        for probe in self.file.parent.glob(f"{NAME}.*"):
            owner, time_of = _owner(probe), self._time(probe)
            if time_of is None:
                continue
            old = (self._time(self.file) or 0) - time_of > STALE
            if old or owner is None or owner.dead:
                probe.unlink(missing_ok=True)

    def _refusal(self, owner: Owner | None, age: float) -> str:
        who = f"process {owner.process} on {owner.host}" if owner else "another process"
        return (
            f"Expected no other run in the folder {str(self.file.parent)!r}, but {who} writes into "
            f"it (its last sign of life was {max(age, 0):.0f} s ago). Wait until it has ended, or "
            "choose another `results.folder`."
        )

    def _beat(self) -> None:
        while not self._lost and not self._ended.wait(BEAT):
            self._lost = self._gone()
            if not self._lost:
                with suppress(OSError):
                    os.utime(self.file)

    @staticmethod
    def _time(file: Path) -> float | None:
        try:
            return file.stat().st_mtime
        except FileNotFoundError:
            return None


def _owner(file: Path) -> Owner | None:
    """Who a lock names; None where it is gone or names nobody."""
    try:
        owner = Owner(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    number = owner.process
    return owner if isinstance(number, int) and 0 < number <= LARGEST else None


def _machine() -> str:
    """Of a start of a machine, and of a container: numbers of processes count within it alone."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        return f"{boot.read_text().strip()}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()
