"""The run that meets the faults, and what it gives without one."""

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from forked import Ended

from .judging import Finding, Stored, kept, whole
from .prepared import Prepared, Ranks
from .striking import STRUCK, At

IMAGES, BATCH = 20, 5
FOLDER, LOCK = "r", ".lock"
RUN = [
    "test", "--config", "digits", "--trainer.accelerator=cpu", f"--results.folder={FOLDER}",
    f"--data.num_test={IMAGES}", f"--data.batch_size={BATCH}",
    "--model.strategy=Full", "--model.strategy.trials=2", "--model.evaluations_per_batch=50",
    "--trainer.callbacks=faults.saying.Progress",
]  # fmt: skip


class Subject:
    """A run that is ready to begin, as often as one likes.

    Args:
        prepared: The run.
        folder: For a working directory of each trial.
        ranks: Its number of processes.
    """

    def __init__(self, prepared: Prepared | Ranks, folder: Path, ranks: int) -> None:
        self.prepared, self.folder, self.ranks = prepared, folder, ranks
        self.name = f"{ranks} process{'es' if ranks > 1 else ''}"
        self._number = 0
        place = self.fresh("reference")
        start = time.monotonic()
        ended = prepared.run(place)
        self.seconds = time.monotonic() - start
        """How long a run takes."""
        if ended.code != 0:
            raise RuntimeError(f"Without a fault: {ended}")
        self.reference = read(place)

    def fresh(self, name: str = "") -> Path:
        """A working directory."""
        self._number += 1
        place = self.folder / (name or f"{self._number}")
        place.mkdir(parents=True)
        return place

    def struck(self, what: Any, numbers: Iterable[int]) -> Iterator[tuple[str, Path, Ended]]:
        """Runs that something strikes at an operation, as long as there is such an operation.

        Args:
            what: What strikes.
            numbers: The operations, ascending.

        Yields:
            What was tried, where, and how the run ended.
        """
        for number in numbers:
            place = self.fresh()
            ended = self.prepared.run(place, At(number, what))
            if not (place / STRUCK).exists():
                return
            yield f"{what} at operation {number}, {self.name}", place, ended

    def copied(self, place: Path) -> Path:
        """A working directory with what another one holds."""
        other = self.fresh()
        shutil.copytree(place / FOLDER, other / FOLDER)
        return other

    def resumed(self, place: Path, *before: Stored) -> Iterator[Finding]:
        """Go on without a fault; what is then not as it has to be."""
        ended = self.prepared.run(place)
        after = read(place)
        yield from whole(ended, after, self.reference)
        for stored in before:
            yield from kept(stored, after)


@contextmanager
def subject(folder: Path, ranks: int = 1) -> Iterator[Subject]:
    """The run, ended at last.

    Args:
        folder: For its files.
        ranks: Number of processes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prepared = Prepared(RUN, folder) if ranks == 1 else Ranks(RUN, folder, ranks)
    try:
        yield Subject(prepared, folder, ranks)
    finally:
        prepared.close()


def read(place: Path) -> Stored:
    """What is stored in a working directory now, read at once."""
    stored = Stored(place / FOLDER)
    _ = stored.answers, stored.files, stored.summary
    return stored
