"""A run of the command line that stands before its test: each start from there costs a fork.

The process that waits has parsed the arguments and made the model and the data. Every start is a
process of its own, which goes on from there, in its working directory, and ends as the command
line does.
"""

import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forked import INTERVAL, Ended, Forked, as_rank, free_port

from diffclf_lightning.cli import main
from diffclf_lightning.lightning_cli import DiffclfCLI

OUTPUT = "stdout", "stderr"
GRACE = 1.0
"""Seconds that processes have whose neighbour has failed."""


class Prepared:
    """A command line that stands before its test.

    Args:
        arguments: Of ``diffclf test``; paths in it are relative to the folder of a start.
        folder: Working directory meanwhile.
        environment: What it finds in ``os.environ`` beside its parent's.
    """

    def __init__(
        self, arguments: list[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._pipe, theirs = multiprocessing.Pipe()

        def waits() -> None:
            self._pipe.close()
            os.environ.update(environment or {})
            DiffclfCLI.before_test = lambda cli: _serve(theirs)
            main(arguments)

        self._process = Forked(waits, folder)
        theirs.close()
        self.ask("ready")

    def begun(
        self,
        folder: Path,
        before: Callable[[], Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> "Begun":
        """A run that has begun.

        Args:
            folder: Its working directory; what it says is left beside its results.
            before: What its process does first; has to be known by name.
            environment: What it finds in ``os.environ`` in place of what is there.
        """
        return Begun(self, self.ask("begin", str(folder), before, dict(environment or {})), folder)

    def run(self, folder: Path, before: Callable[[], Any] | None = None) -> Ended:
        """A run to its end."""
        return self.begun(folder, before).end()

    def ask(self, *request: Any) -> Any:
        """What the process that waits answers.

        Raises:
            RuntimeError: If it has ended.
        """
        try:
            self._pipe.send(request)
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            raise RuntimeError(f"The run did not come to its test: {self._process.end()}") from None

    def close(self) -> None:
        """End the process that waits."""
        self._pipe.close()
        self._process.send(signal.SIGKILL)
        self._process.end()


class Begun:
    """A run that has begun.

    Args:
        prepared: What it was started from.
        pid: Its process.
        folder: Where it works.
    """

    def __init__(self, prepared: Prepared, pid: int, folder: Path) -> None:
        self._prepared, self.pid, self.folder = prepared, pid, folder

    @property
    def code(self) -> int | None:
        """Its exit status as :class:`Ended` has it; None while it runs."""
        status = self._prepared.ask("poll", self.pid)
        return None if status is None else os.waitstatus_to_exitcode(status)

    def send(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.code is None:
            os.kill(self.pid, number)

    def end(self, timeout: float = 120.0) -> Ended:
        """Wait for it.

        Raises:
            TimeoutError: If it takes longer than so many seconds; it is killed.
        """
        until = time.monotonic() + timeout
        while (code := self.code) is None:
            if time.monotonic() > until:
                self.send(signal.SIGKILL)
                raise TimeoutError(f"Not at its end after {timeout} s: {self._said()}")
            time.sleep(INTERVAL)
        return Ended(code, *self._said())

    def _said(self) -> tuple[str, str]:
        texts = [(self.folder / f"{name}-{self.pid}").read_text() for name in OUTPUT]
        return texts[0], texts[1]


class Ranks:
    """Processes of one run, as torchrun starts them, that stand before their test.

    Args:
        arguments: As of :class:`Prepared`.
        folder: As well.
        number: How many.
    """

    def __init__(self, arguments: list[str], folder: Path, number: int) -> None:
        several = [*arguments, "--trainer.strategy=ddp", f"--trainer.devices={number}"]
        self._every = [Prepared(several, folder, as_rank(rank, number)) for rank in range(number)]

    def begun(self, folder: Path, before: Callable[[], Any] | None = None) -> "BegunRanks":
        """A run that has begun; what is done first, the first process does alone."""
        meeting = {"MASTER_PORT": free_port()}
        runs = [
            one.begun(folder, before if rank == 0 else None, meeting)
            for rank, one in enumerate(self._every)
        ]
        return BegunRanks(runs)

    def run(self, folder: Path, before: Callable[[], Any] | None = None) -> Ended:
        """A run to its end."""
        return self.begun(folder, before).end()

    def close(self) -> None:
        """End the processes that wait."""
        for one in self._every:
            one.close()


@dataclass(frozen=True)
class BegunRanks:
    """A run of several processes that has begun.

    Args:
        runs: The processes.
    """

    runs: list[Begun]

    def send(self, number: int) -> None:
        """Send the last one a signal."""
        self.runs[-1].send(number)

    def end(self) -> Ended:
        """Wait for all: an exit status that is not 0, if there is one, and what all said.

        Where one fails the others are ended after a while, as torchrun does.
        """
        while any(codes := [run.code for run in self.runs]) or None in codes:
            if any(codes):
                time.sleep(GRACE)
                for run in self.runs:
                    run.send(signal.SIGKILL)
                break
            time.sleep(INTERVAL)
        ends = [run.end() for run in self.runs]
        code = next((code for code in codes if code), 0)
        return Ended(code, "".join(e.stdout for e in ends), "".join(e.stderr for e in ends))


def _serve(pipe: Any) -> None:
    """Answer; returns in the processes of the runs alone."""
    ended: dict[int, int] = {}
    while True:
        try:
            name, *values = pipe.recv()
        except EOFError:
            os._exit(0)
        answer = None
        if name == "begin":
            folder, before, environment = values
            answer = os.fork()
            if answer == 0:
                pipe.close()
                _settle(Path(folder), environment)
                if before is not None:
                    before()
                return
        elif name == "poll":
            (pid,) = values
            if pid not in ended and (found := os.waitpid(pid, os.WNOHANG))[0]:
                ended[pid] = found[1]
            answer = ended.get(pid)
        pipe.send(answer)


def _settle(folder: Path, environment: Mapping[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    for number, name in enumerate(OUTPUT, start=1):
        file = os.open(folder / f"{name}-{os.getpid()}", os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    warnings.showwarning = _show  # a test may have it recorded


def _show(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any
) -> None:
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))
