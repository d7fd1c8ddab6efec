"""The errors of all candidates at all trials of a run, which scores and races are fitted on."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import pyarrow as pa

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import ErrorTable, MeanError, Racing, Score
from diffclf_lightning.informative import InformativeGrid
from diffclf_lightning.results import RunFolder, candidates_of, stored_errors, timesteps_of

PARTS = 20
"""Equal parts of [0, 1), in each of which errors are looked at apart."""


@dataclass(frozen=True)
class FullErrors:
    """A run with all errors.

    Args:
        run: Its folder.
        times: Times of its trials, in order.
        score: The score that decides.
        labelled: Whether the labels of its images have to be known.
    """

    run: RunFolder
    times: tuple[Fraction, ...]
    score: Score
    labelled: bool = True

    @classmethod
    def of(
        cls, run: RunFolder, score: Score | None = None, *, labelled: bool = True
    ) -> "FullErrors":
        """Those of a folder.

        Args:
            run: The folder.
            score: The score that is to decide. Defaults to None: the one that did, the mean of a
                loss.
            labelled: Whether the labels of its images have to be known.

        Raises:
            InputError: If it holds no errors, or not those that the score needs, or another score
                than a mean decided and none is given.
        """
        _, _, table = next(stored_errors(run, labelled=labelled))  # or there are none
        description = run.description()
        own = MeanError(description["scores"][0])
        if score is None and description["score"] != repr(own):
            raise InputError(
                f"Expected RUN to be decided by the mean of a loss, but it was by {own.name!r}. "
                "Run it without --model.score, or say what decides: --score MeanError "
                f"--score.loss {next(iter(table.errors))}."
            )
        full = cls(run, tuple(map(Fraction, description["trials"]["time"])), score or own, labelled)
        full.score.check(timesteps_of(description))
        return full

    @property
    def trials(self) -> int:
        """Number of trials."""
        return len(self.times)

    def places(self) -> list[int]:
        """Which of the equal parts of [0, 1) each trial lies in.

        Raises:
            InputError: If a part has no trial.
        """
        places = [int(time * PARTS) for time in self.times]
        if len(set(places)) < PARTS:
            raise InputError(
                f"Expected RUN to have trials in each of {PARTS} equal parts of the times, but its "
                f"{self.trials} trials, of {self.run.description()['grid']}, are in "
                f"{len(set(places))} of them. Run it with --model.grid GoldenGrid and {PARTS} "
                "trials or more."
            )
        return places

    @property
    def num_images(self) -> int:
        """Number of its images."""
        return sum(map(len, self.run.batches([])))

    def score_of(self, set_name: str) -> Score:
        """The score, bound to the candidates of a set."""
        return self.score.bind(candidates_of(self.run, set_name).names)

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
        for name, rows, table in stored_errors(self.run, labelled=self.labelled):
            if int(table.counts.amin()) < self.trials:
                raise InputError(
                    f"Expected RUN to hold the errors of all candidates at all {self.trials} "
                    "trials, but some were dropped. Run it with --model.strategy Full."
                )
            yield name, rows, table
