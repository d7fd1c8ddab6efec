"""Kills, at every operation on a file and at random moments."""

import random
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from .judging import LOST, OTHER, Finding, Stored, Trial
from .saying import batches_behind
from .striking import STRUCK, At, Kill
from .subject import BATCH, Subject, read


def at_writes(subject: Subject, what: Kill, numbers: Iterable[int]) -> Iterator[Trial]:
    """Kill runs at operations, and have each go on.

    Args:
        subject: The run.
        what: What strikes.
        numbers: The operations, ascending; they end with the run.
    """
    for number in numbers:
        place = subject.fresh()
        ended = subject.prepared.run(place, At(number, what))
        if not (place / STRUCK).exists():
            return
        findings = []
        if ended.code != -signal.SIGKILL:
            findings.append(Finding(OTHER, f"exit status {ended.code}: {ended.stderr}"))
        before = read(place)
        findings += counted(place, before)
        findings += subject.resumed(place, before)
        yield Trial("kills", f"{what} at operation {number}, {subject.name}", tuple(findings))


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


def counted(place: Path, stored: Stored) -> Iterator[Finding]:
    """Whether the images of all batches that a run has behind it are stored."""
    done = batches_behind(place) * BATCH
    if len(stored.rows) < done:
        yield Finding(LOST, f"{done} images were done, {len(stored.rows)} are stored")
