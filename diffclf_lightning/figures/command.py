"""``diffclf figures``: Figures 2, 3 and 4 of the paper, of runs with stored errors."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from diffclf_lightning.evaluation import Score
from diffclf_lightning.extras import needed
from diffclf_lightning.figures.draw import (
    draw_over_trials,
    draw_single_times,
    draw_two_candidates,
)
from diffclf_lightning.figures.over_trials import RESAMPLES, PolicyCurve, over_trials
from diffclf_lightning.figures.single_times import single_times
from diffclf_lightning.figures.stored import Pool
from diffclf_lightning.figures.two_candidates import two_candidates
from diffclf_lightning.files import made, write_whole
from diffclf_lightning.mistakes import CommandParser
from diffclf_lightning.outputs import output_folder
from diffclf_lightning.results import RunFolder

DESCRIPTION = """\
Draw of a run with stored errors of all candidates at all trials (--model.strategy Full
--results.errors true): errors of two candidates over time and their difference, accuracy of single
timesteps, and accuracy over the number of trials for policies of choosing their times; with the
numbers as CSV files. Further runs of the same images with other noise (--model.seed) give every
time several noises.
"""


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where it is printed where the figures are, and what they say.

    Raises:
        InputError: If a run does not hold the errors of all trials, runs do not belong together,
            or matplotlib is not installed.
    """
    parser = CommandParser(prog="diffclf figures", description=DESCRIPTION)
    add = parser.add_argument
    add("runs", nargs="+", type=str, metavar="RUN", help="folder of a run with stored errors")
    add("--set", type=str, default=None, help="name of the test set; default: the run's first")
    add(
        "--image",
        type=str,
        default=None,
        help="key of the image of the two candidates; default: that of the median margin",
    )
    add(
        "--score",
        type=Score,
        default=None,
        enable_path=False,
        help="what decides; default: the run's own",
    )
    add("--resamples", type=int, default=RESAMPLES, help="resamples of the trials in bands")
    add("--output", type=str, default=None, help="folder; default: RUN/figures of the first run")
    options = parser.instantiate_classes(parser.parse_args(list(args)))
    needed("matplotlib", "figures")
    folder = output_folder(options.output or RunFolder(options.runs[0]).path / "figures")
    pool = Pool([RunFolder(run) for run in options.runs], options.score, options.set)
    said = draw_all(pool, folder, options.image, options.resamples)
    console = console or Console()
    for line in (*said, f"Figures: {folder}"):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def draw_all(
    pool: Pool, folder: Path, image: str | None = None, resamples: int = RESAMPLES
) -> list[str]:
    """Draw the three figures, and write their numbers.

    Args:
        pool: The trials.
        folder: Where they go.
        image: Key of the image of the two candidates. Defaults to None: a typical one.
        resamples: Resamples of the trials.

    Returns:
        What the figures say, a line each.
    """
    times = single_times(pool)
    curves = over_trials(pool, resamples=resamples)
    pair = two_candidates(pool, image)
    made(folder)
    draw_two_candidates(pair, folder / "two-candidates.png")
    own, chance = float(curves[0].accuracy[-1]), 1 / len(np.unique(pool.labels))
    draw_single_times(times, own, chance, folder / "single-timesteps.png")
    draw_over_trials(curves, folder / "number-of-trials.png")
    records = {
        "two-candidates": pair.records(),
        "single-timesteps": times.records(),
        "number-of-trials": [record for curve in curves for record in curve.records()],
    }
    for name, rows in records.items():
        write_whole(folder / f"{name}.csv", _csv(rows))
    if pair.spreads is None:
        noise = "one noise a time, so that nothing is said of their spread (name further runs)"
    else:
        true, difference = pair.spreads
        noise = f"over noises the error has SD {true:.3g}, the difference {difference:.3g}"
    return [
        f"Two candidates: {pair.key}, {pair.names[0]} and {pair.names[1]}; {noise}.",
        f"Single timesteps: up to {times.accuracy.max():.1%} at t = {times.best:.3f}; all "
        f"{pool.trials} trials {own:.1%} of {times.images} images.",
        "Number of trials: " + "; ".join(_reached(curve, own) for curve in curves) + ".",
    ]


def _reached(curve: PolicyCurve, own: float) -> str:
    """From how many trials on a policy is within a point of all trials."""
    within = curve.accuracy >= own - 0.01
    first = len(within) - int(np.argmin(within[::-1])) if not within.all() else 0
    return f"{curve.policy} within a point from {curve.trials[first]}"


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
