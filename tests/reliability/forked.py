"""Runs in processes of their own, forked after the package is imported: a start costs milliseconds.

Torch is held to one thread, since a forked process has no others.
"""

import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import diffclf_lightning.lightning_cli  # noqa: F401  what every run imports
from diffclf_lightning.cli import main

INTERVAL = 0.005
HOST = "127.0.0.1"
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "tests", "GROUP_RANK": "0", "MASTER_ADDR": HOST, "MASTER_PORT": "0",
}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Args:
        code: Exit status; minus the number of a signal that ended it.
        stdout: What it wrote.
        stderr: The same of errors.
    """

    code: int
    stdout: str
    stderr: str


class Forked:
    """A function in a process of its own, which has begun.

    Args:
        function: What to run; its SystemExit is the exit status, any other error a traceback and 1.
        folder: Working directory.
    """

    def __init__(self, function: Callable[[], Any], folder: Path) -> None:
        torch.set_num_threads(1)
        self._files = [tempfile.TemporaryFile("w+") for _ in (1, 2)]  # noqa: SIM115  open to the end
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(self._run(function, folder))

    def _run(self, function: Callable[[], Any], folder: Path) -> int:
        code = 1
        try:
            os.setsid()  # so that what it starts can be ended with it
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.chdir(folder)
            for number, file in zip((1, 2), self._files, strict=True):
                os.dup2(file.fileno(), number)
            sys.stdout = os.fdopen(1, "w", closefd=False)
            sys.stderr = os.fdopen(2, "w", closefd=False)
            sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
            function()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return code

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, and what it has started, at once."""
        os.killpg(self.pid, signal.SIGKILL)

    def has_ended(self) -> bool:
        """Whether it is at its end."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def end(self, timeout: float = 120.0) -> Ended:
        """Wait for it.

        Raises:
            TimeoutError: If it takes longer than so many seconds; it is killed.
        """
        until = time.monotonic() + timeout
        while (waited := os.waitpid(self.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > until:
                self.kill()
                os.waitpid(self.pid, 0)
                raise TimeoutError(f"Not at its end after {timeout} s: {self._said()}")
            time.sleep(INTERVAL)
        return Ended(os.waitstatus_to_exitcode(waited[1]), *self._said())

    def _said(self) -> tuple[str, str]:
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read())
        return texts[0], texts[1]


def diffclf(folder: Path, *arguments: Any, timeout: float = 120.0) -> Ended:
    """The command line, to its end."""
    return begun(folder, *arguments).end(timeout)


def begun(folder: Path, *arguments: Any) -> Forked:
    """The command line, which runs meanwhile."""
    return Forked(lambda: main([str(argument) for argument in arguments]), folder)


def as_rank(rank: int, number: int) -> dict[str, str]:
    """What torchrun tells a process of the others, but for the port at which they meet."""
    own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    return {**TORCHRUN, **own, "WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number)}


def ranks(folder: Path, number: int, function: Callable[[int], Any]) -> list[Forked]:
    """A function of the rank in some processes, which are told of each other."""
    port = free_port()

    def run(rank: int) -> None:
        os.environ.update(as_rank(rank, number) | {"MASTER_PORT": port})
        function(rank)

    return [Forked(partial(run, rank), folder) for rank in range(number)]


def on_ranks(folder: Path, number: int, *arguments: Any) -> list[Forked]:
    """The command line in some processes, which run meanwhile."""
    several = [*arguments, "--trainer.strategy=ddp", f"--trainer.devices={number}"]
    return ranks(folder, number, lambda _: main([str(argument) for argument in several]))


def free_port() -> str:
    """A port of this machine that nobody listens on."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        return str(bound.getsockname()[1])
