"""Two runs in one folder, and locks whose owner is gone."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .judging import OTHER, Finding, Trial, refused, whole
from .kills import counted
from .prepared import Begun
from .subject import FOLDER, LOCK, Subject, read

BETWEEN = 0.2
"""Seconds between signs of life of another machine."""


def together(subject: Subject, races: int = 5) -> Iterator[Trial]:
    """Two runs in one folder.

    Args:
        subject: The run, of one process.
        races: How often two begin at once.
    """
    yield Trial("together", "a second one begins", tuple(_second(subject)))
    for number in range(races):
        yield Trial("together", f"two begin at once, {number}", tuple(_race(subject)))
    yield Trial("together", "the lock of a killed process", tuple(_after_kill(subject)))
    yield Trial("together", "an old lock of another machine", tuple(_elsewhere(subject, "old")))
    yield Trial("together", "a lock that is damaged and old", tuple(_elsewhere(subject, "damaged")))
    yield Trial("together", "a run on another machine", tuple(_elsewhere(subject, "alive")))


def _second(subject: Subject) -> Iterator[Finding]:
    place = subject.fresh()
    first = _held(subject, place)
    yield from refused(subject.prepared.run(place), socket.gethostname(), str(first.pid))
    first.send(signal.SIGCONT)
    yield from whole(first.end(), read(place), subject.reference)


def _held(subject: Subject, place: Path) -> Begun:
    """A run that is stopped after its first batch."""
    run = subject.prepared.begun(place)
    while not (place / "progress-0").exists():
        time.sleep(0.001)
    run.send(signal.SIGSTOP)
    return run


def _race(subject: Subject) -> Iterator[Finding]:
    place = subject.fresh()
    ends = [run.end() for run in [subject.prepared.begun(place) for _ in range(2)]]
    ends.sort(key=lambda end: end.code)
    yield from whole(ends[0], read(place), subject.reference)
    if ends[1].code != 0:
        yield from refused(ends[1], socket.gethostname())


def _after_kill(subject: Subject) -> Iterator[Finding]:
    place = subject.fresh()
    run = _held(subject, place)
    run.send(signal.SIGKILL)
    run.end()
    before = read(place)
    yield from counted(place, before)
    if LOCK not in before.files:
        yield Finding(OTHER, "a killed run left no lock, so that nothing is tried")
    start = time.monotonic()
    yield from subject.resumed(place, before)
    if (taken := time.monotonic() - start) > 5 * subject.seconds + 1:
        yield Finding(OTHER, f"it was waited for {taken:.1f} s")


def _elsewhere(subject: Subject, state: str) -> Iterator[Finding]:
    place = subject.fresh()
    run = _held(subject, place)
    run.send(signal.SIGKILL)
    run.end()
    lock = place / FOLDER / LOCK
    owner = json.loads(lock.read_text())
    lock.write_text(json.dumps({**owner, "host": "elsewhere", "machine": "elsewhere"}))
    before = read(place)
    if state == "alive":
        ended = threading.Event()
        life = threading.Thread(target=_beat, args=(lock, ended))
        life.start()
        try:
            yield from refused(subject.prepared.run(place), "elsewhere", str(owner["process"]))
        finally:
            ended.set()
            life.join()
        lock.unlink()
    else:
        if state == "damaged":
            lock.write_text("")
        os.utime(lock, (0, 0))
    yield from subject.resumed(place, before)


def _beat(file: Path, ended: threading.Event) -> None:
    while not ended.wait(BETWEEN):
        os.utime(file)
