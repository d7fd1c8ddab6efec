"""``diffclf report``: finished runs as one HTML file."""

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from diffclf_lightning.extras import needed
from diffclf_lightning.files import made, write_whole
from diffclf_lightning.outputs import output_file
from diffclf_lightning.report.contents import read_runs
from diffclf_lightning.report.page import render

DESCRIPTION = """\
Write finished runs as one HTML file that needs nothing else: accuracies with their intervals, what
is confused, reliability, a gallery of right, wrong and undecided images, survivors, cost. Pictures
are those that the run stored (--results.thumbnails); errors over time need --results.errors true.
"""


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where it is printed where the report is.

    Raises:
        InputError: If a folder holds no results, the file cannot be written, or what the report is
            made with is not installed.
    """
    parser = argparse.ArgumentParser(prog="diffclf report", description=DESCRIPTION)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="default: RUN/report.html of one run, runs/report-DATE-TIME.html of several",
    )
    options = parser.parse_args(list(args))
    needed("jinja2", "report")
    needed("matplotlib", "report")
    output = options.output and output_file(options.output, "report.html")
    runs = read_runs(options.runs)
    fresh = Path("runs") / f"report-{datetime.now():%Y%m%d-%H%M%S}.html"
    file = output or (runs[0].path / "report.html" if len(runs) == 1 else fresh)
    page = render(runs)
    made(file.parent)
    write_whole(file, page)
    console = console or Console()
    console.print(f"Report: {file}", soft_wrap=True, highlight=False, markup=False)
