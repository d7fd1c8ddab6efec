"""Ending: what the command line says when it ends in another way than was asked for, and how."""

import atexit
import os
import select
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn

from diffclf_lightning.errors import NeighbourError, input_error_behind, message_of
from diffclf_lightning.stopping import Stopped, Stopping

PATIENCE = 3.0
"""Seconds in which a process learns whether another one ends for the same reason, and says it."""


def ending(error: BaseException, stopping: Stopping) -> int | None:
    """End with what an error means to the user, said once for all processes of a run.

    Args:
        error: What ended the command.
        stopping: The signals, and the processes of other ranks.

    Returns:
        The exit status; None if the error is to be raised as it is.
    """
    stopping.settle()
    said = input_error_behind(error)
    if isinstance(error, BrokenPipeError) and _unread(sys.stdout):
        _silence(sys.stdout)
        return 1
    if isinstance(error, KeyboardInterrupt):  # where signals are not heard: not in the main thread
        stopping.number = signal.SIGINT
    if not stopping.first and not isinstance(error, SystemExit) and stopping.heard_within(PATIENCE):
        return stopping.code if said is None else 2
    own = said is not None and not isinstance(said, NeighbourError)
    lost = not (own or isinstance(error, SystemExit)) and stopping.lost(PATIENCE / 2)
    if isinstance(error, Stopped) or stopping.number is not None or lost:
        stopping.end_others()
        if stopping.first:
            _say(stopping.line(error.how if isinstance(error, Stopped) else ""))
        return stopping.code
    stopping.end_others()
    if said is None:
        if stopping.first or isinstance(error, SystemExit):
            return None
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    # Another process may show its progress, in a line that has no end yet.
    _say(f"{'' if stopping.first else chr(10)}diffclf: error: {message_of(said)}")
    return 2


def flush(stream: Any) -> None:
    """Write out what a stream holds; if nobody reads it any more, end without a word.

    Args:
        stream: The stream.

    Raises:
        SystemExit: If nobody reads it.
    """
    try:
        stream.flush()
    except BrokenPipeError:
        _silence(stream)
        sys.exit(1)


def _unread(stream: Any) -> bool:
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return bool(poll.poll(0))  # an error is told whatever is asked for


def _silence(stream: Any) -> None:
    """Let go what is yet to be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def leave(code: int) -> NoReturn:
    """End the process, without what a process group waits for as it is taken down: other processes.

    Args:
        code: The exit status.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _say(line: str) -> None:
    flush(sys.stdout)
    sys.stderr.write(f"{line}\n")
