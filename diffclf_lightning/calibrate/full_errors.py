"""The errors of all candidates at all trials of a run, which a race may be replayed on."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import pyarrow as pa

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import ErrorTable, MeanError, Racing
from diffclf_lightning.informative import InformativeGrid
from diffclf_lightning.results import RunFolder, stored_errors


@dataclass(frozen=True)
class FullErrors:
    """A run with all errors.

    Args:
        run: Its folder.
        times: Times of its trials, in order.
        score: The score that decided, the mean of a loss.
    """

    run: RunFolder
    times: tuple[Fraction, ...]
    score: MeanError

    @classmethod
    def of(cls, run: RunFolder) -> "FullErrors":
        """Those of a folder.

        Args:
            run: The folder.

        Raises:
            InputError: If it holds no errors, or another score than a mean decided.
        """
        next(stored_errors(run))  # or there are none
        description = run.description()
        score = MeanError(description["scores"][0])
        if description["score"] != repr(score):
            raise InputError(
                f"Expected RUN to be decided by the mean of a loss, but it was by "
                f"{description['score']}. Run it without --model.score."
            )
        return cls(run, tuple(map(Fraction, description["trials"]["time"])), score)

    @property
    def trials(self) -> int:
        """Number of trials."""
        return len(self.times)

    def grid_of_race(self) -> str:
        """The order of its times, as a race with this order describes it.

        Raises:
            InputError: If no race takes such an order.
        """
        golden = Racing.grid
        if self.times == tuple(golden.order((self.trials,))[0]):
            return repr(golden)
        grid: str = self.run.description()["grid"]
        if grid.startswith(InformativeGrid.__name__):
            return grid
        raise InputError(
            f"Expected RUN to have its trials in the order of a race, but they are in that of "
            f"{grid}. Run it with --model.grid GoldenGrid."
        )

    def tables(self) -> Iterator[ErrorTable]:
        """The tables of :meth:`parts`."""
        for _, _, table in self.parts():
            yield table

    def parts(self) -> Iterator[tuple[str, pa.Table, ErrorTable]]:
        """Errors of all candidates at all trials, a bounded number of images at once.

        Yields:
            Name of a set, rows of it, and their error table.

        Raises:
            InputError: If some candidates were dropped.
        """
        for name, rows, table in stored_errors(self.run):
            if int(table.counts.amin()) < self.trials:
                raise InputError(
                    f"Expected RUN to hold the errors of all candidates at all {self.trials} "
                    "trials, but some were dropped. Run it with --model.strategy Full."
                )
            yield name, rows, table
