"""``diffclf calibrate``: fit on the stored rows of a run whatever they permit."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from diffclf_lightning.calibrate.informative import fit_density
from diffclf_lightning.calibrate.level import fit_level
from diffclf_lightning.calibrate.ranking import Ranking
from diffclf_lightning.calibrate.temperature import fit_on_rows
from diffclf_lightning.errors import InputError
from diffclf_lightning.results import RunFolder

DESCRIPTION = """\
Fit the temperature that makes probabilities of scores, on the stored rows of a run with known
labels (diffclf validate stores some), and write it to RUN/calibration.json. A later run takes it by
--model.calibration RUN. The images must not be those that are to be tested.

With --error-rate the level of a race too, which --model.calibration gives to --model.strategy
Racing, on a run that stored the errors of all candidates at all trials (--model.strategy Full
--model.grid GoldenGrid --results.errors true). The temperature is then that of raced scores.

On a run with --model.shortlist the mean score of each candidate too, which later runs take off
(--model.shortlist.calibration RUN), and with --error-rate the number of candidates to keep.

With --informative, on such a run, which times tell candidates apart: --model.grid InformativeGrid
--model.grid.calibration RUN takes these first.
"""
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
    parser.add_argument(
        "--informative",
        action="store_true",
        help="find the times that tell candidates apart, for InformativeGrid",
    )
    options = parser.parse_args(args)
    run, rate = RunFolder(options.run), options.error_rate
    _check(rate, options.confidence)
    if rate is None:
        fitted, said = fit_on_rows(run), ""
    else:
        fitted, said = fit_level(run, rate, options.confidence or CONFIDENCE)
    ranking = Ranking.of(run)
    if ranking is not None:
        fitted = replace(fitted, shortlist=ranking.shortlist, bias=ranking.bias)
    if options.informative:
        fitted = replace(fitted, density=fit_density(run))
    file, raced = fitted.save(run.path), " as raced" if said else ""
    console = console or Console()
    said += (
        f"Temperature {fitted.temperature:.4g} of score {fitted.score}{raced}, fitted on "
        f"{fitted.images} images: {file}"
    )
    if ranking is not None:
        said += f"\nMean score of {len(ranking.bias)} candidates by {ranking.shortlist}."
    if fitted.density is not None:
        said += f"\n{_most_informative(fitted.density)}"
    console.print(said, soft_wrap=True, highlight=False, markup=False)


def _most_informative(density: Sequence[float]) -> str:
    place = max(range(len(density)), key=density.__getitem__)
    begins, ends = (edge / len(density) for edge in (place, place + 1))
    return (
        f"Times from {begins:g} to {ends:g} tell candidates apart best: {density[place]:.1f} times "
        "as many of the first trials as if all were alike."
    )


def _check(rate: float | None, confidence: float | None) -> None:
    for name, value in (("--error-rate", rate), ("--confidence", confidence)):
        if value is not None and not 0 < value < 1:
            raise InputError(f"Expected {name} above 0 and below 1, but got {value}.")
    if rate is None and confidence is not None:
        raise InputError("Expected --confidence with --error-rate, but got no --error-rate.")
