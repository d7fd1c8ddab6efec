"""Kills, at every operation on a file and at random moments."""

import random
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from forked import begun

from .judging import LOST, OTHER, TAIL, TRACEBACK, Finding, Stored, Trial, whole
from .saying import batches_behind
from .striking import Kill
from .subject import BATCH, LOCK, RUN, Subject, read

SETTLED = 0.05
"""Seconds until a process hears signals."""


def at_writes(subject: Subject, what: Kill, numbers: Iterable[int]) -> Iterator[Trial]:
    """Kill runs at operations, and have each go on.

    Args:
        subject: The run.
        what: What strikes.
        numbers: The operations, ascending; they end with the run.
    """
    for tried, place, ended in subject.struck(what, numbers):
        findings = []
        if ended.code != -signal.SIGKILL:
            findings.append(Finding(OTHER, f"exit status {ended.code}: {ended.stderr}"))
        before = read(place)
        findings += counted(place, before)
        findings += subject.resumed(place, before)
        yield Trial("kills", tried, tuple(findings))


def at_random(subject: Subject, seed: int, trials: int, kills: int = 3) -> Iterator[Trial]:
    """Kill runs at random moments, several in a row on one folder, and have the last go on.

    Args:
        subject: The run.
        seed: Of the moments.
        trials: Number of folders.
        kills: Number of kills of each.
    """
    draw = random.Random(seed)
    for number in range(trials):
        place, findings, before = subject.fresh(), [], []
        for _ in range(kills):
            run = subject.prepared.begun(place)
            time.sleep(draw.uniform(0, subject.seconds))
            run.send(signal.SIGKILL)
            run.end()
            before.append(read(place))
            findings += counted(place, before[-1])
        findings += subject.resumed(place, *before)
        recipe = f"{kills} at random moments, {subject.name}, seed {seed}, folder {number}"
        yield Trial("kills", recipe, tuple(findings))


def stopped(subject: Subject, seed: int, trials: int) -> Iterator[Trial]:
    """Stop runs at random moments by SIGINT and SIGTERM, and have each go on.

    Args:
        subject: The run, of one process, which is begun here from the start.
        seed: Of the moments.
        trials: Number of runs.
    """
    draw = random.Random(seed)
    start = time.monotonic()
    begun(subject.fresh(), *RUN).end()
    seconds = time.monotonic() - start
    for number in range(trials):
        name = draw.choice((signal.SIGINT, signal.SIGTERM))
        place, moment = subject.fresh(), draw.uniform(SETTLED, seconds)
        run = begun(place, *RUN)
        time.sleep(moment)
        run.send(name)
        ended = run.end()
        before = read(place)
        findings = list(counted(place, before))
        if "Traceback" in ended.stderr:
            findings.append(Finding(TRACEBACK, ended.stderr[-TAIL:]))
        elif ended.code == 0:  # it was faster
            findings += whole(ended, before, subject.reference)
        elif ended.code != 128 + name or f"stopped by {name.name}" not in ended.stderr:
            findings.append(Finding(OTHER, f"exit status {ended.code}: {ended.stderr[-TAIL:]!r}"))
        if left := [file for file in before.files if file.endswith(".partial") or LOCK in file]:
            findings.append(Finding(OTHER, f"left behind: {left}"))
        findings += subject.resumed(place, before)
        recipe = f"{name.name} after {moment:.3f} of {seconds:.3f} s, seed {seed}, run {number}"
        yield Trial("kills", recipe, tuple(findings))


def counted(place: Path, stored: Stored) -> Iterator[Finding]:
    """Whether the images of all batches that a run has behind it are stored."""
    done = batches_behind(place) * BATCH
    if len(stored.rows) < done:
        yield Finding(LOST, f"{done} images were done, {len(stored.rows)} are stored")
