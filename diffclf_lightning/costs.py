"""``diffclf costs``: seconds and evaluations of an image, and on what (Table 7 of the paper)."""

import argparse
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffclf_lightning.compare import Measured, read_measured
from diffclf_lightning.errors import InputError
from diffclf_lightning.files import made, write_whole
from diffclf_lightning.metrics import MatchingReport
from diffclf_lightning.outputs import output_file
from diffclf_lightning.results import RunFolder, find_runs

DESCRIPTION = """\
Seconds and evaluations of an image for each finished run and set, with accuracy, number of images,
device and precision. Seconds of an image are those of its batch, shared by the images in it, on one
device; the mean counts the first, slow batches too, the median hardly.
"""
HEADINGS: Mapping[str, Callable[["Cost"], str]] = {
    "accuracy\n%": lambda cost: _percent(cost),
    "\nimages": lambda cost: str(cost.images),
    "evals\n/image": lambda cost: f"{cost.evaluations_mean:.0f}",
    "s/image,\nmean": lambda cost: f"{cost.seconds_mean:.2g}",
    "s/image,\nmedian": lambda cost: f"{cost.seconds_median:.2g}",
    "\non": lambda cost: f"{cost.device or 'unknown'}, {cost.precision or 'unknown'}",
}


@dataclass(frozen=True)
class Cost:
    """What an image of a set took a run, over its images.

    Args:
        run: Name of the run.
        set: Name of the set.
        measure: What ``accuracy`` is: ``accuracy``, or ``text_score`` where images and captions are
            matched.
        accuracy: Share of right images or examples; None where the set has no such measure.
        images: Number of images; of examples where images and captions are matched.
        evaluations_mean: Mean number of model evaluations of an image.
        evaluations_median: Its median.
        seconds_mean: Mean seconds of an image on one device, its share of the time of its batch.
        seconds_median: Its median.
        device: What it was measured on; several where the run was continued on another.
        precision: The Trainer's.
        version: Of this package.
    """

    run: str
    set: str
    measure: str
    accuracy: float | None
    images: int
    evaluations_mean: float
    evaluations_median: float
    seconds_mean: float
    seconds_median: float
    device: str
    precision: str
    version: str


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where the table is printed.

    Raises:
        InputError: If there is no finished run with known labels among what was named, or the file
            is of another kind.
    """
    parser = argparse.ArgumentParser(prog="diffclf costs", description=DESCRIPTION)
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder of a finished run, folder of such folders, or a glob of them ('runs/*')",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="also write it, as .csv or as .md (Markdown)"
    )
    options = parser.parse_args(list(args))
    file = options.output and output_file(options.output, "costs.csv", (".csv", ".md"))
    found = find_runs(options.runs)
    costs = costs_of(read_measured(found.runs), found.runs)
    left_out = dict.fromkeys(found.runs.keys() - {cost.run for cost in costs}, "no known labels")
    if not costs:
        raise InputError(
            f"Expected runs with known labels, but {', '.join(left_out)} have none. Name folders "
            "of `diffclf test` or `diffclf validate`."
        )
    console = console or Console()
    console.print(table_of(costs))
    reasons = {**found.passed_over, **left_out}
    notes = [*notes_of(costs), *(f"{path} is left out: {why}" for path, why in reasons.items())]
    for note in notes:
        console.print(f"  {note}", soft_wrap=True, highlight=False, markup=False)
    if file is not None:
        made(file.parent)
        write_whole(file, csv_of(costs) if file.suffix == ".csv" else markdown_of(costs))
        console.print(f"Results: {file}", soft_wrap=True, highlight=False, markup=False)


def costs_of(lines: Sequence[Measured], runs: Mapping[str, RunFolder]) -> list[Cost]:
    """What images took, from stored rows.

    Args:
        lines: Runs on sets, as :func:`read_measured` gives them.
        runs: The runs by name.

    Returns:
        A cost for each line.
    """
    costs = []
    stored = {name: runs[name].rows([]) for name in dict.fromkeys(line.run for line in lines)}
    for line in lines:
        every = stored[line.run]
        if every is None:
            raise InputError(
                f"Expected {str(runs[line.run].path)!r} to hold the rows of its images, but "
                "images.parquet is missing. Run `diffclf test` again."
            )
        measure = "text_score" if isinstance(line.report, MatchingReport) else "accuracy"
        rows = every.filter(pc.field("set") == line.set)
        spent, seconds = (rows[name].to_numpy() for name in ("evaluations", "seconds"))
        costs.append(
            Cost(
                line.run,
                line.set,
                measure,
                line.report.scalars().get(measure),
                len(rows),
                float(spent.mean()),
                float(np.median(spent)),
                float(seconds.mean()),
                float(np.median(seconds)),
                line.device,
                line.precision,
                line.version,
            )
        )
    return costs


def table_of(costs: Sequence[Cost]) -> Table:
    """The costs for a terminal."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("\nrun", overflow="fold", min_width=6)
    table.add_column("\nset", overflow="fold")
    *numbers, conditions = HEADINGS
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(conditions, overflow="fold", min_width=16)
    for cost in costs:
        cells = [cell(cost) for cell in HEADINGS.values()]
        table.add_row(*map(Text, (cost.run, cost.set, *cells)))
    return table


def notes_of(costs: Sequence[Cost]) -> list[str]:
    """What has to be read beside the costs."""
    notes = ["seconds are of one device, and of the whole batch divided by its images"]
    if len({(cost.device, cost.precision, cost.version) for cost in costs}) > 1:
        notes.append(
            "not all runs were on the same device at the same precision and version: seconds "
            "compare only where these are the same"
        )
    if any(cost.measure != "accuracy" for cost in costs):
        notes.append("*: text score; an image is an example, of all its images and captions")
    mixed = list(dict.fromkeys(cost.run for cost in costs if "; " in cost.device))
    if mixed:
        notes.append(f"continued on another device: {', '.join(mixed)}")
    if any(not cost.device for cost in costs):
        notes.append("unknown: the run was made by a version that did not store its machine")
    return notes


def _percent(cost: Cost) -> str:
    if cost.accuracy is None:
        return "-"
    return f"{100 * cost.accuracy:.1f}" + "*" * (cost.measure != "accuracy")


def csv_of(costs: Sequence[Cost]) -> str:
    """The costs as CSV, shares as fractions."""
    text = io.StringIO()
    writer = csv.DictWriter(text, asdict(costs[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, costs))
    return text.getvalue()


def markdown_of(costs: Sequence[Cost]) -> str:
    """The costs as a Markdown table, with its notes."""
    headings = [heading.replace("\n/", "/").replace("\n", " ").strip() for heading in HEADINGS]
    rows = [["run", "set", *headings], ["---", "---", *["---"] * len(HEADINGS)]]
    rows += [[cost.run, cost.set, *(cell(cost) for cell in HEADINGS.values())] for cost in costs]
    lines = ["| " + " | ".join(text.replace("|", r"\|") for text in row) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes_of(costs))]) + "\n"
