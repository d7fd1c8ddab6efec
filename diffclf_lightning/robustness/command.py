"""``diffclf robustness``: effective robustness over finished runs."""

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from diffclf_lightning.outputs import output_folder
from diffclf_lightning.robustness.comparison import DEFAULT, Settings, compare_all
from diffclf_lightning.robustness.figure import no_figure
from diffclf_lightning.robustness.pairs import Pair
from diffclf_lightning.robustness.report import show, write
from diffclf_lightning.robustness.scales import SCALES, get_scale
from diffclf_lightning.robustness.sources import DEFAULT_BASELINES, read_baselines, read_models
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
        help="folder of a finished run or of several, a glob of them, CSV file of accuracies, or "
        f"shipped table ({tables})",
    )
    add(
        "--baselines",
        nargs="+",
        metavar="TABLE",
        default=DEFAULT_BASELINES,
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
        "--min-r2",
        type=float,
        default=DEFAULT.min_r_squared,
        metavar="SHARE",
        help=f"a line of lower R-squared is none; default: {DEFAULT.min_r_squared}",
    )
    add(
        "--other-losses",
        action="store_true",
        help="show each run by its other losses too (`other_losses` of the model)",
    )
    add(
        "--common",
        action="store_true",
        help="compare runs with only a part of their images in common on that part",
    )
    add(
        "--allow-other-classes",
        action="store_true",
        help="allow pairs whose sets are of other classes",
    )
    add(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where tables and figures go; default: runs/robustness-DATE-TIME",
    )
    return made


def main(args: Sequence[str]) -> None:
    """Run the command with its arguments."""
    options = parser().parse_args(args)
    output = options.output and output_folder(options.output)
    comparisons = compare_all(
        read_models(options.runs, other_losses=options.other_losses),
        read_baselines(options.baselines),
        [Pair.parse(text) for text in options.pairs],
        Settings(get_scale(options.scale), options.min_r2),
        other_classes=options.allow_other_classes,
        common=options.common,
        without_line=True,
    )
    folder = output or Path("runs") / f"robustness-{datetime.now():%Y%m%d-%H%M%S}"
    console = Console()
    show(comparisons, console, lines=True)
    write(folder, comparisons)
    if any(c.fit is not None for c in comparisons) and (why := no_figure()):
        console.print(f"There is no figure. {why}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"Results: {folder}", soft_wrap=True, highlight=False, markup=False)
