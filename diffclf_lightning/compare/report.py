"""Runs and their pairs on the terminal and as CSV files."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from diffclf_lightning.compare.measured import Measured
from diffclf_lightning.compare.pairs import RunPair
from diffclf_lightning.files import made, write_whole

MOST_PAIRS = 30
"""Pairs of a set that are printed; all are in the file."""
SMALL = 1e-4


def show(lines: Sequence[Measured], pairs: Sequence[RunPair], console: Console) -> None:
    """Print the tables of runs and of pairs, and what has to be read beside them."""
    console.print(Group(runs_table(lines), _notes(run_notes(lines))))
    for name, several in groupby(pairs, lambda pair: pair.set):
        of_set = list(several)
        tested = [pair for pair in of_set if pair.counts is not None]
        if tested and len(of_set) <= MOST_PAIRS:
            console.print(pairs_table(name, tested))
    if notes := pair_notes(pairs):
        console.print(_notes(notes))


def write(file: Path, lines: Sequence[Measured], pairs: Sequence[RunPair]) -> list[Path]:
    """Write the runs to a CSV file, and the pairs to one beside it.

    Args:
        file: The file of the runs; that of the pairs ends with ``-pairs.csv``.
        lines: The runs.
        pairs: The pairs.

    Returns:
        The files that were written.
    """
    made(file.parent)
    beside = file.with_name(f"{file.stem}-pairs.csv")
    contents = {file: [line.record() for line in lines], beside: [pair.record() for pair in pairs]}
    for path, records in contents.items():
        if records:
            write_whole(path, _csv(records))
        else:  # of an earlier comparison
            path.unlink(missing_ok=True)
    return [path for path, records in contents.items() if records]


def runs_table(lines: Sequence[Measured]) -> Table:
    """Runs by set, one row a run; with several sets the name of each above its runs."""
    cells = [line.report.cells()[0] for line in lines]
    several = len({line.set for line in lines}) > 1
    table = _table("" if several else f"Runs on {lines[0].set}")
    table.add_column("\nset / run" if several else "\nrun", overflow="fold", min_width=12)
    for heading in (headings := list(dict.fromkeys(name for row in cells for name in row if name))):
        table.add_column(heading, justify="right", no_wrap=True)
    previous = None
    for line, row in zip(lines, cells, strict=True):
        if several and line.set != previous:
            table.add_row(Text(line.set, style="bold"))
        previous = line.set
        values = (row.get(heading, "") for heading in headings)
        table.add_row(Text(f"{'  ' * several}{line.run}"), *values)
    return table


def run_notes(lines: Sequence[Measured]) -> list[str]:
    """What has to be read beside the runs: intervals, devices, images that were left out."""
    notes = list(dict.fromkeys(note for line in lines for note in line.report.notes))
    runs: dict[tuple[str, str, str], list[str]] = {}
    for line in lines:
        if line.run not in (named := runs.setdefault(line.conditions, [])):
            named.append(line.run)
    for (device, precision, version), named in runs.items():
        who = "all" if len(runs) == 1 else ", ".join(named)
        on = device or "unknown device"
        notes.append(f"{who}: {on}, {precision}" + (f", version {version}" if version else ""))
    if len(runs) > 1:
        notes.append("seconds compare within a line of these alone")
    notes += [
        f"{line.run} on {line.set}: {line.report.skipped} images could not be read, left out"
        for line in lines
        if line.report.skipped
    ]
    return notes


def pairs_table(name: str, pairs: Sequence[RunPair]) -> Table:
    """Pairs on a set, two lines each: the first run and below it the second."""
    adjusts = any(pair.counts and pair.adjusted != pair.counts.p_value for pair in pairs)
    table = _table(f"Pairs on the same images of {name}")
    table.add_column("first\nsecond", overflow="fold", min_width=12)
    headings = ["right\nalone", "both\nright", "neither\nright", "first - second,\npoints", "\np"]
    for heading in [*headings, *(["p by\nHolm"] if adjusts else [])]:
        table.add_column(heading, justify="right", no_wrap=True)
    for pair in pairs:
        if pair.counts is None or pair.adjusted is None:
            continue
        interval = pair.counts.interval()
        ends = f"[{100 * interval.lower:+.1f}, {100 * interval.upper:+.1f}]"
        table.add_row(
            Text(f"{pair.first}\n{pair.second}"),
            f"{pair.counts.first}\n{pair.counts.second}",
            str(pair.counts.both),
            str(pair.counts.neither),
            Text(f"{_points(pair.counts.difference)}\n{ends}"),
            _p(pair.counts.p_value),
            *([_p(pair.adjusted)] if adjusts else []),
            end_section=True,
        )
    return table


def pair_notes(pairs: Sequence[RunPair]) -> list[str]:
    """What has to be read beside the pairs."""
    tested = [pair for pair in pairs if pair.counts is not None]
    notes = []
    if tested:
        notes.append("right alone: images that one has right and the other wrong")
        notes.append("in brackets: 95% score interval of the difference (Tango 1998)")
        notes.append("p: McNemar's exact test, two-sided; stricter than the interval")
    if len(tested) > 1:
        notes.append(f"p by Holm: adjusted for the {len(tested)} pairs that are tested")
    for name, several in groupby(pairs, lambda pair: pair.set):
        of_set = list(several)
        if len(of_set) > MOST_PAIRS:
            notes.append(
                f"{name}: {len(of_set)} pairs, in the file alone; --reference RUN makes fewer"
            )
            continue
        notes += [
            f"{name}, {pair.first} and {pair.second}: {pair.note}" for pair in of_set if pair.note
        ]
    if any(not pair.same_pixels for pair in tested):
        notes.append(
            "images are the same by key and label; that both models took the same pixels is not "
            "known for all pairs (`same_pixels` in the file): other sizes or crops, or other data"
        )
    return notes


def _notes(lines: Iterable[str]) -> Group:
    return Group(*(Padding(Text(line), (0, 0, 0, 2)) for line in lines), "")


def _table(title: str) -> Table:
    return Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f}" if abs(share) >= 5e-4 else "0.0"


def _p(value: float) -> str:
    return f"{value:.2g}" if value < SMALL else f"{value:.4f}"


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    every = dict.fromkeys(name for record in records for name in record)
    writer = csv.DictWriter(text, every, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
