"""``diffclf calibrate``: fit on the stored rows of a run whatever they permit."""

import argparse
from collections.abc import Iterator, Sequence

import torch
from rich.console import Console
from torch import Tensor

from diffclf_lightning.calibration import Calibration, race_of
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import (
    ErrorTable,
    MeanError,
    Racing,
    best_candidates,
    per_label,
    replayed,
)
from diffclf_lightning.metrics import fit_temperature, images_needed, last_within
from diffclf_lightning.results import RunFolder, candidates_of, stored_errors
from diffclf_lightning.tasks import Classification

DESCRIPTION = """\
Fit the temperature that makes probabilities of scores, on the stored rows of a run with known
labels (diffclf validate stores some), and write it to RUN/calibration.json. A later run takes it by
--model.calibration RUN. The images must not be those that are to be tested.

With --error-rate the level of a race too, which --model.calibration gives to --model.strategy
Racing, on a run that stored the errors of all candidates at all trials (--model.strategy Full
--model.grid GoldenGrid --results.errors true). The temperature is then that of raced scores.
"""
LEVELS = 1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3
CONFIDENCE = 0.9


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where the result is printed.

    Raises:
        InputError: If the folder does not hold rows that permit it.
    """
    parser = argparse.ArgumentParser(
        prog="diffclf calibrate",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--error-rate",
        type=float,
        metavar="RATE",
        help="share of images on which a race may differ from all trials: find its level",
    )
    parser.add_argument(
        "--confidence",
        type=float,
        metavar="SHARE",
        help=f"how sure that is to be; default: {CONFIDENCE}",
    )
    options = parser.parse_args(args)
    run, rate = RunFolder(options.run), options.error_rate
    _check(rate, options.confidence)
    if rate is None:
        fitted, said = _temperature(run), ""
    else:
        fitted, said = _level(run, rate, options.confidence or CONFIDENCE)
    file, raced = fitted.save(run.path), " as raced" if said else ""
    console = console or Console()
    said += (
        f"Temperature {fitted.temperature:.4g} of score {fitted.score}{raced}, fitted on "
        f"{fitted.images} images: {file}"
    )
    console.print(said, soft_wrap=True, highlight=False, markup=False)


def _check(rate: float | None, confidence: float | None) -> None:
    for name, value in (("--error-rate", rate), ("--confidence", confidence)):
        if value is not None and not 0 < value < 1:
            raise InputError(f"Expected {name} above 0 and below 1, but got {value}.")
    if rate is None and confidence is not None:
        raise InputError("Expected --confidence with --error-rate, but got no --error-rate.")


def _temperature(run: RunFolder) -> Calibration:
    rows = run.rows(Classification.fitted)
    labelled = rows is not None and set(Classification.fitted) <= set(rows.schema.names)
    if rows is None or not labelled or rows["label"].null_count or not len(rows):
        raise InputError(
            f"Expected RUN to hold rows with known labels, but {str(run.path)!r} has none. Name "
            "the folder of `diffclf validate` or `diffclf test`."
        )
    score = run.description()["scores"][0]
    return Calibration(Classification().fit(rows)["temperature"], score, len(rows))


def _level(run: RunFolder, rate: float, confidence: float) -> tuple[Calibration, str]:
    """What is fitted for a race, and what may be said of it."""
    trials, score = _full(run)
    races = [Racing(level, max_trials=trials) for level in LEVELS]
    images, wrong = 0, [0] * len(races)
    for table in _tables(run, trials):
        right = table.scored(score).predictions
        images += len(right)
        for place, race in enumerate(races):
            raced = _raced(table, race, score).scored(score).predictions
            wrong[place] += int((raced != right).sum())
    sure = f"{100 * rate:.3g}% with {100 * confidence:g}% confidence"
    needed = images_needed(rate, confidence)
    if images < needed:
        raise InputError(
            f"Expected RUN to hold at least {needed} images for an error rate of {sure}, but "
            f"got {images}. Store the errors of more images, or ask for less."
        )
    chosen = last_within(wrong, images, rate, confidence)
    if chosen is None:
        raise InputError(
            f"Expected an --error-rate that a race reaches, but at level {LEVELS[0]:g} it differs "
            f"from all trials on {wrong[0]} of {images} images, which does not show {sure}. Ask "
            "for a higher --error-rate, or store the errors of more images."
        )
    race = races[chosen]
    scores, labels, evaluations = _as_raced(run, race, score)
    calibration = Calibration(
        fit_temperature(scores, labels),
        score.name,
        images,
        race.level,
        race_of(race, race.grid, run.description()["noise"]),
    )
    said = (
        f"Level {race.level:g}: on images like these, and with this noise, Racing(max_trials="
        f"{trials}) gives another answer than all {trials} trials on at most {sure}. On these "
        f"{images} it does on {wrong[chosen]}, and takes {evaluations:.0f} evaluations an image.\n"
    )
    return calibration, said


def _full(run: RunFolder) -> tuple[int, MeanError]:
    """Number of trials, and the score, of a run that a race can be fitted on."""
    next(stored_errors(run))  # or there are none
    description = run.description()
    times = description["trials"]["time"]
    if times != [str(time) for time in Racing.grid.order((len(times),))[0]]:
        raise InputError(
            f"Expected RUN to have its trials in the order of a race, but they are in that of "
            f"{description['grid']}. Run it with --model.grid GoldenGrid."
        )
    score = MeanError(description["scores"][0])
    if description["score"] != repr(score):
        raise InputError(
            f"Expected RUN to be decided by the mean of a loss, but it was by "
            f"{description['score']}. Run it without --model.score."
        )
    return len(times), score


def _tables(run: RunFolder, trials: int) -> Iterator[ErrorTable]:
    for _, _, table in stored_errors(run):
        if int(table.counts.amin()) < trials:
            raise InputError(
                f"Expected RUN to hold the errors of all candidates at all {trials} trials, but "
                "some were dropped. Run it with --model.strategy Full."
            )
        yield table


def _raced(table: ErrorTable, race: Racing, score: MeanError) -> ErrorTable:
    return replayed(table, race.bind(len(table.labels), race.stages), score)


def _as_raced(run: RunFolder, race: Racing, score: MeanError) -> tuple[Tensor, Tensor, float]:
    """Scores of labels after a race, true labels, and evaluations an image."""
    width = max(candidates_of(run).labels) + 1
    scores, labels, evaluations = [], [], []
    for _, rows, table in stored_errors(run):
        raced = _raced(table, race, score)
        values = raced.scored(score).scores
        best = best_candidates(values, table.labels, width)
        scores.append(per_label(values, best, torch.inf))
        labels.append(torch.from_numpy(rows["label"].to_numpy().copy()))
        evaluations.append(raced.evaluations)
    mean = float(torch.cat(evaluations).double().mean())
    return torch.cat(scores), torch.cat(labels), mean
