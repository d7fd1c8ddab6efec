"""Stopping: what SIGINT and SIGTERM do to the command line.

Rows are whole whenever they are on the disk, so that nothing is worth waiting for: the main thread
raises :class:`Stopped` wherever it is, files and locks are closed on its way out, and one line says
how to go on. A thread hears the signals too, since a handler does not run while the main thread
waits in C, for another process for instance. It ends the processes that Lightning started, and this
one if it does not end by itself.
"""

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 5.0
"""Seconds that the main thread and other processes have to end by themselves."""
DOUBLE = 0.3
"""Seconds in which a second signal is the first one again: ``timeout`` sends two."""
LOOK = 0.5
"""Seconds after which it is looked whether the processes of other ranks run."""
RANKS = "RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"
"""Variables with the number of this process, if another program has started several."""


class Stopped(SystemExit):
    """A signal says that the process shall end.

    Args:
        number: The signal.
        how: How what was begun goes on, in half a sentence. Defaults to "": that is not known.
    """

    def __init__(self, number: int, how: str = "") -> None:
        super().__init__(128 + number)
        self.number, self.how = number, how


class Stopping:
    """Hears SIGINT and SIGTERM.

    A signal that was ignored before (``nohup``) stays so.

    Attributes:
        number: The signal that was heard first, or None.
        goes_on: How what was begun goes on, in half a sentence.
        processes: The processes of other ranks that were started here, as a list to be emptied.
        deferred: Whether SIGTERM is left to another handler, which ends the run where that is safe.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.goes_on: Callable[[], str] = str
        self.processes: Callable[[], list[subprocess.Popen[Any]]] = list
        self.deferred = False
        self.first = all(os.environ.get(name, "0") == "0" for name in RANKS)
        """Whether this is the first rank of all."""
        self._launched = any(name in os.environ for name in RANKS)
        self._parent = os.getppid() if "LOCAL_RANK" in os.environ else None
        self._since = 0.0
        self._inside = self._raised = False
        self._ended = 0
        self._taken: list[subprocess.Popen[Any]] = []
        self._heard = threading.Event()
        self._before: dict[int, Any] = {}

    def __reduce__(self) -> tuple[type["Stopping"], tuple[()]]:
        return Stopping, ()  # to a process that is given one: it hears nothing

    def begin(self) -> None:
        """Hear signals from here on, if this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            reader, self._writer = os.pipe()
            os.set_blocking(self._writer, False)
            self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            self._inside = True
            self.listen()
            os.register_at_fork(after_in_child=self._forked)
            threading.Thread(target=self._hear, args=(reader,), daemon=True).start()

    def listen(self) -> None:
        """Take the signals, also from who has taken them since."""
        for number in SIGNALS:
            before = signal.getsignal(number)
            if self._inside and before not in (signal.SIG_IGN, self._handle):
                self._before.setdefault(number, before)
                signal.signal(number, self._handle)

    def end(self) -> None:
        """Leave signals as they were."""
        if self._inside:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._inside = False
            self.goes_on, self.processes = str, list  # which hold the run, and forks this object
            signal.set_wakeup_fd(self._wakeup)
            os.close(self._writer)  # which ends the thread

    def _forked(self) -> None:
        """In a process that loads data, signals do what they do in any."""
        if self._inside:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.close(self._writer)
            self._inside = False

    def _handle(self, number: int, frame: Any) -> None:
        self._note(number)
        if not self._raised and not (self.deferred and number == signal.SIGTERM):
            self._raised = True
            # Not torch's, which raises an error once a process that loads data has ended.
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _nothing)
            raise Stopped(number)

    def _note(self, number: int) -> None:
        if self.number is None and not self._ended:
            self.number, self._since = number, time.monotonic()

    def _hear(self, reader: int) -> None:
        """Listen in a thread until the end."""
        while True:
            if select.select([reader], [], [], LOOK)[0]:
                told = os.read(reader, 64)
                if not told:
                    os.close(reader)
                    return
                for number in set(told) & set(SIGNALS):
                    self._told(number)
            elif not self._heard.is_set():
                self._look()
            elif (self._ended or not self.deferred) and time.monotonic() > self._since + GRACE:
                self._cut(self.line())

    def _told(self, number: int) -> None:
        if not self._heard.is_set():
            self._note(number)
            self._heard.set()
            if not (self.deferred and number == signal.SIGTERM):
                self._send(signal.SIGTERM)
        elif (
            number == signal.SIGINT
            and not self._ended
            and not self._launched  # or else the other program sends what the keyboard sent
            and time.monotonic() > self._since + DOUBLE
        ):
            self._cut(self._said)

    def _look(self) -> None:
        """Stop once a process of another rank has ended in an error, or that of the first one."""
        if self._parent not in (None, os.getppid()):
            os.kill(os.getpid(), signal.SIGTERM)
        failed = [code for one in self.processes() if (code := one.poll())]
        if failed:
            self._ended, self._since = failed[0], time.monotonic()
            self._heard.set()
            self._send(signal.SIGTERM)
            if (main := threading.main_thread().ident) is not None:
                signal.pthread_kill(main, signal.SIGINT)

    def _send(self, number: int) -> None:
        """Take the processes from Lightning, which would kill this one when they end."""
        started = self.processes()
        self._taken += started
        started.clear()
        for one in self._taken:
            with suppress(OSError):
                one.send_signal(number)

    def _cut(self, line: str) -> NoReturn:
        """End at once."""
        self._send(signal.SIGKILL)
        if self.first:
            os.write(2, f"\n{line}\n".encode())
        os._exit(self.code)

    def settle(self) -> None:
        """Raise nothing from here on: the command ends already."""
        self._raised = True

    def heard_within(self, seconds: float) -> bool:
        """Whether a signal comes, or has come.

        Args:
            seconds: How long to wait for one.
        """
        return self._heard.wait(seconds if self._inside else 0.0)

    def lost(self, seconds: float) -> bool:
        """Whether a process of another rank has ended in an error, for which this one ends too.

        Args:
            seconds: How long to wait for that.
        """
        if self._launched or self.processes() or self._taken:
            self.heard_within(seconds)
        return bool(self._ended)

    def end_others(self) -> None:
        """End the processes of other ranks that were started here."""
        self._send(signal.SIGTERM)
        until = time.monotonic() + GRACE
        for one in self._taken:
            try:
                one.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()

    @property
    def code(self) -> int:
        """Exit status of a process that is stopped."""
        code = 128 + (self.number or 0) if self._ended == 0 else self._ended
        return code if code > 0 else 128 - code

    @property
    def _said(self) -> str:
        if self._ended < 0:
            by = f"error: stopped, since {_name(-self._ended)} ended the process of another rank"
        elif self._ended:
            by = "stopped by the error of another rank"
        else:
            by = f"stopped by {_name(self.number or 0)}"
        return f"diffclf: {by}"

    def line(self, how: str = "") -> str:
        """What a stopped process says.

        Args:
            how: How what was begun goes on. Defaults to "": what ``goes_on`` says.
        """
        how = how or self.goes_on()
        return f"{self._said}; {how}" if how else self._said


def _nothing(*_: Any) -> None:
    """Of a signal, take no note."""


def _name(number: int) -> str:
    return signal.Signals(number).name


def run_until_stopped(command: Sequence[str], **kwargs: Any) -> int:
    """Run a program to its end; if this process is stopped, so is the program, which may clean up.

    Args:
        command: The program and its arguments.
        **kwargs: As :class:`subprocess.Popen` takes them.

    Returns:
        Its exit status.
    """
    with subprocess.Popen(command, **kwargs) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            process.kill()
            raise
