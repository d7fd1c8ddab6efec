"""``diffclf calibrate``: fit on the stored rows of a run whatever they permit."""

from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jsonargparse import DefaultHelpFormatter, Namespace
from rich.console import Console

from diffclf_lightning.calibrate.full_errors import FullErrors
from diffclf_lightning.calibrate.informative import fit_density
from diffclf_lightning.calibrate.level import fit_level
from diffclf_lightning.calibrate.ranking import Ranking
from diffclf_lightning.calibrate.score_fit import fit_bias, fit_weights, strongest
from diffclf_lightning.calibrate.temperature import fit_on_errors, fit_on_rows
from diffclf_lightning.calibration import FILE, Calibration
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import MeanError, Score
from diffclf_lightning.learned import LearnedWeights, WithoutBias
from diffclf_lightning.mistakes import CommandParser
from diffclf_lightning.results import RunFolder

DESCRIPTION = """\
Fit the temperature that makes probabilities of scores, on the stored rows of a run with known
labels (diffclf validate stores some), and write it to RUN/calibration.json. A later run takes it by
--model.calibration RUN. The images must not be those that are to be tested. With --score that of
another score, from stored errors (--results.errors true).

With --error-rate the level of a race too, which --model.calibration gives to --model.strategy
Racing, on a run that stored the errors of all candidates at all trials (--model.strategy Full
--model.grid GoldenGrid --results.errors true). The temperature is then that of raced scores.

On a run with --model.shortlist the mean score of each candidate too, which later runs take off
(--model.shortlist.calibration RUN), and with --error-rate the number of candidates to keep.

With --informative, on such a run, which times tell candidates apart: --model.grid InformativeGrid
--model.grid.calibration RUN takes these first.

With --weights, on such a run, weights over time, and with --bias what each candidate scores
whatever the image, for which labels need not be known: --model.score LearnedWeights or WithoutBias,
--model.score.calibration RUN. The temperature is then that of the new score.

The file is written anew each time: what is to be in it together takes one command, as --weights
--bias, or a copy is kept. It names the model by its weights, and a run of another one that takes it
warns.
"""
CONFIDENCE = 0.9


class _Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Paragraphs stay paragraphs."""


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where the result is printed.

    Raises:
        InputError: If the folder does not hold rows that permit it.
    """
    options = _options(args)
    run, rate, score = RunFolder(options.run), options.error_rate, options.score
    _check(options)
    run.check_there()
    said = ""
    if options.weights or options.bias:
        fitted, said = _fit_score(run, score, weights=options.weights, bias=options.bias)
    elif rate is not None:
        fitted, said = fit_level(run, rate, options.confidence or CONFIDENCE, score)
    else:
        fitted = fit_on_rows(run) if score is None else fit_on_errors(run, score)
    ranking = Ranking.of(run)
    if ranking is not None:
        fitted = replace(fitted, shortlist=ranking.shortlist, bias=ranking.bias)
    if options.informative:
        fitted = replace(fitted, density=fit_density(run, score))
    fitted = replace(fitted, model=run.description().get("weights"))
    lost = _lost(run.path / FILE, fitted)
    file, raced = fitted.save(run.path), " as raced" if rate is not None else ""
    console = console or Console()
    if fitted.temperature is None:
        said += f"No temperature of score {fitted.score}, since no labels are known"
    else:
        said += f"Temperature {fitted.temperature:.4g} of score {fitted.score}{raced}"
    said += f", fitted on {fitted.images} images: {file}"
    if ranking is not None:
        said += f"\nMean score of {len(ranking.bias)} candidates by {ranking.shortlist}."
    if fitted.density is not None:
        said += f"\n{_most_informative(fitted.density)}"
    if lost:
        said += (
            f"\nWhat {' and '.join(lost)} fitted stood there, and is gone: give the flags "
            "together, or keep a copy."
        )
    console.print(said, soft_wrap=True, highlight=False, markup=False)


def _options(args: Sequence[str]) -> Namespace:
    parser = CommandParser(
        prog="diffclf calibrate", description=DESCRIPTION, formatter_class=_Formatter
    )
    add = parser.add_argument
    add("run", type=str, metavar="RUN", help="folder of a run")
    add(
        "--score",
        type=Score,
        default=None,
        enable_path=False,
        help="what decides; default: the run's own",
    )
    add(
        "--error-rate",
        type=float,
        default=None,
        metavar="RATE",
        help="share of images on which a race may differ from all trials: find its level",
    )
    add(
        "--confidence",
        type=float,
        default=None,
        metavar="SHARE",
        help=f"how sure that is to be; default: {CONFIDENCE}",
    )
    add(
        "--informative",
        action="store_true",
        help="find the times that tell candidates apart, for InformativeGrid",
    )
    add("--weights", action="store_true", help="learn weights over time, for LearnedWeights")
    add("--bias", action="store_true", help="find the bias of each candidate, for WithoutBias")
    options: Namespace = parser.instantiate_classes(parser.parse_args(list(args)))
    return options


def _fit_score(
    run: RunFolder, score: Score | None, *, weights: bool, bias: bool
) -> tuple[Calibration, str]:
    """A score that is learned, its temperature, and what may be said of it."""
    full, said = FullErrors.of(run, score, labelled=weights), ""
    found = Calibration(None, full.score.name, full.num_images)
    if isinstance(full.score, MeanError | LearnedWeights):
        found = replace(found, loss=full.score.loss)
    if isinstance(full.score, LearnedWeights):
        found = replace(found, weights=full.score.weights)
    if weights:
        fitted, images = fit_weights(full)
        learned = LearnedWeights(weights=fitted, loss=found.loss)
        found, full = replace(found, weights=learned.weights), replace(full, score=learned)
        some = "" if images == found.images else f", of {images} of {found.images} images"
        said += f"Weights of {learned.loss} over time{some}. {_heaviest(learned.weights)}\n"
    if bias:
        found = replace(found, biased=full.score.name, part_bias=fit_bias(full))
        made = WithoutBias(score=full.score, bias=found.part_bias)
        said += f"{strongest(made.bias)}\n"
        full = replace(full, score=made)
    temperature = None
    if weights or _labelled(run):
        temperature = fit_on_errors(run, full.score).temperature
    return replace(found, temperature=temperature, score=full.score.name), said


def _lost(file: Path, fitted: Calibration) -> list[str]:
    """Flags that made what the file holds and what was fitted does not."""
    try:
        before = Calibration.load(file)
    except InputError:  # none, or one that nobody could take
        return []
    made = {"weights": "--weights", "part_bias": "--bias", "density": "--informative"}
    made |= {"level": "--error-rate"}
    return [
        flag
        for name, flag in made.items()
        if getattr(before, name) is not None and getattr(fitted, name) is None
    ]


def _labelled(run: RunFolder) -> bool:
    return not any(rows["label"].null_count for rows in run.batches(["label"]))


def _heaviest(weights: Sequence[float]) -> str:
    place, (begins, ends) = _largest(weights)
    return f"Times from {begins:g} to {ends:g} weigh most, {weights[place]:.1f} times the mean."


def _most_informative(density: Sequence[float]) -> str:
    place, (begins, ends) = _largest(density)
    return (
        f"Times from {begins:g} to {ends:g} tell candidates apart best: {density[place]:.1f} times "
        "as many of the first trials as if all were alike."
    )


def _largest(values: Sequence[float]) -> tuple[int, tuple[float, float]]:
    """Place of the largest, and the times that it stands for."""
    place = max(range(len(values)), key=values.__getitem__)
    return place, (place / len(values), (place + 1) / len(values))


def _check(options: Namespace) -> None:
    rate, confidence = options.error_rate, options.confidence
    for name, value in (("--error-rate", rate), ("--confidence", confidence)):
        if value is not None and not 0 < value < 1:
            raise InputError(f"Expected {name} above 0 and below 1, but got {value}.")
    if rate is None and confidence is not None:
        raise InputError("Expected --confidence with --error-rate, but got no --error-rate.")
    for flag, given in (("--error-rate", rate is not None), ("--informative", options.informative)):
        if given and (options.weights or options.bias):
            raise InputError(
                f"Expected {flag} of a score that is fixed, but got it beside --weights or --bias, "
                "which make a new one of the same images. Calibrate a run of other images with "
                f"--score LearnedWeights --score.calibration RUN {flag}."
            )
