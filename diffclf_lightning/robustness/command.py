"""``diffclf robustness``: effective robustness over finished runs."""

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import get_scale, relative_robustness
from diffclf_lightning.metrics.scales import SCALES
from diffclf_lightning.robustness.extremes import POLICIES
from diffclf_lightning.robustness.models import Model
from diffclf_lightning.robustness.output import by_source, show, write
from diffclf_lightning.robustness.pairs import Pair
from diffclf_lightning.robustness.sources import (
    DEFAULT_BASELINES,
    compare_all,
    read_baselines,
    read_models,
)
from diffclf_lightning.robustness.study import MIN_R_SQUARED, Settings
from diffclf_lightning.robustness.tables import shipped_tables

DESCRIPTION = """\
How much accuracy models have out of distribution beyond what baselines of the same
in-distribution accuracy have (Taori et al. 2020). Without RUN the baselines' lines alone.
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command's arguments."""
    made = argparse.ArgumentParser(prog="diffclf robustness", description=DESCRIPTION)
    add = made.add_argument
    tables = ", ".join(shipped_tables())
    add(
        "runs",
        nargs="*",
        metavar="RUN",
        help=f"folder of a finished run, CSV file of accuracies, or shipped table ({tables})",
    )
    add(
        "--baselines",
        nargs="+",
        metavar="TABLE",
        default=None,
        help="shipped tables, CSV files, or folders of runs (which make one table); "
        f"default: those of {', '.join(DEFAULT_BASELINES)} that have the runs' sets",
    )
    add(
        "--pairs",
        nargs="+",
        metavar="ID:OOD[@BREAK]",
        default=[],
        help="pairs of test sets, BREAK in percent or a fraction; default: ImageNet and its "
        "shifts, digits and theirs",
    )
    add("--scale", default="logit", help=f"{', '.join(SCALES)}; default: logit")
    add(
        "--extremes",
        default="leave-out",
        metavar="POLICY",
        help=f"baselines with an accuracy of 0 or 1: {', '.join(POLICIES)}; default: leave-out",
    )
    add(
        "--min-r2",
        type=float,
        default=MIN_R_SQUARED,
        metavar="SHARE",
        help=f"a line of lower R-squared is none; default: {MIN_R_SQUARED}",
    )
    add(
        "--reference",
        metavar="MODEL",
        default=None,
        help="name of one of the models: print what the others have beyond it out of distribution "
        "(relative robustness)",
    )
    add(
        "--other-losses",
        action="store_true",
        help="show each run by its other losses too (`other_losses` of the model)",
    )
    add(
        "--allow-other-classes",
        action="store_true",
        help="allow pairs whose sets are of other classes",
    )
    add(
        "--output",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="where tables and figures go; default: runs/robustness-DATE-TIME",
    )
    return made  # fmt: skip


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where tables are printed.

    Raises:
        InputError: If something cannot be done as it was asked for.
    """
    options = parser().parse_args(args)
    if options.extremes not in POLICIES:
        raise InputError(
            f"Expected --extremes to be one of {', '.join(POLICIES)}, but got {options.extremes!r}."
        )
    if not 0 <= options.min_r2 <= 1:
        raise InputError(f"Expected --min-r2 from 0 to 1, but got {options.min_r2}.")
    if options.output is not None and options.output.is_file():
        raise InputError(f"Expected --output to be a folder, but got the file {options.output}.")
    models = read_models(options.runs, other_losses=options.other_losses)
    reference = _named(models, options.reference)
    settings = Settings(
        get_scale(options.scale), POLICIES[options.extremes], min_r_squared=options.min_r2
    )
    comparisons = compare_all(
        models,
        read_baselines(options.baselines or DEFAULT_BASELINES),
        [Pair.parse(text) for text in options.pairs],
        settings,
        other_classes=options.allow_other_classes,
    )
    folder = options.output or Path("runs") / f"robustness-{datetime.now():%Y%m%d-%H%M%S}"
    console = console or Console()
    show(by_source(comparisons), console, lines=True)
    if reference is not None:
        for line in _relative(models, reference):
            console.print(line, highlight=False, markup=False)
    write(folder, by_source(comparisons))
    console.print(f"Results: {folder}", soft_wrap=True, highlight=False, markup=False)


def _named(models: Sequence[Model], name: str | None) -> Model | None:
    found = next((model for model in models if model.name == name), None)
    if name is not None and found is None:
        raise InputError(
            f"Expected --reference to name one of the models, "
            f"{', '.join(model.name for model in models) or 'of which there are none'}, but got "
            f"{name!r}."
        )
    return found


def _relative(models: Sequence[Model], reference: Model) -> list[str]:
    lines = [f"Relative robustness to {reference.name}, in points of accuracy"]
    for model in models:
        gains = {
            name: 100 * relative_robustness(accuracy, reference.accuracies[name])
            for name, accuracy in model.accuracies.items()
            if name in reference.accuracies and model is not reference
        }
        if gains:
            values = ", ".join(f"{name} {gain:+.1f}" for name, gain in gains.items())
            lines.append(f"  {model.name}: {values}")
    return [*lines, ""]
