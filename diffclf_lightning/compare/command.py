"""``diffclf compare``: finished runs in one table, and pairs of them image by image."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from rich.console import Console

from diffclf_lightning.compare import report
from diffclf_lightning.compare.measured import Measured, read_measured
from diffclf_lightning.compare.pairs import RunPair, adjusted, read_pairs
from diffclf_lightning.errors import InputError
from diffclf_lightning.outputs import output_file
from diffclf_lightning.paths import path_of
from diffclf_lightning.results import FoundRuns, find_runs

DESCRIPTION = """\
Finished runs in one table: accuracies with intervals, cost, device. For each pair of runs with the
same images of a set also who is right where, and McNemar's exact test of equal accuracies.
"""


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where tables are printed.

    Raises:
        InputError: If there is no finished run with labels among what was named.
    """
    parser = argparse.ArgumentParser(prog="diffclf compare", description=DESCRIPTION)
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder of a finished run, folder of such folders, or a glob of them ('runs/*')",
    )
    add(
        "--reference",
        metavar="RUN",
        help="make the pairs of this one of the runs alone; default: all pairs",
    )
    add(
        "--common",
        action="store_true",
        help="test runs with only a part of their images in common on that part",
    )
    add(
        "--output",
        type=Path,
        metavar="FILE.csv",
        help="where the table goes, that of the pairs to FILE-pairs.csv; default: "
        "runs/compare-DATE-TIME/compare.csv",
    )
    options = parser.parse_args(args)
    compare_runs(
        {"": options.runs},
        options.output,
        reference=options.reference,
        common=options.common,
        console=console,
    )


def compare_runs(
    groups: Mapping[str, Sequence[str | Path]],
    output: Path | None = None,
    *,
    reference: str | None = None,
    common: bool = False,
    console: Console | None = None,
) -> None:
    """Print and write a comparison of finished runs.

    Args:
        groups: Folders of runs, folders of such folders, or globs of them, by the data that they
            share, which is told beside the names of their sets; pairs are made within a group.
            One group may have no name.
        output: The CSV file. Defaults to None: a new one under ``runs``.
        reference: Name or path of the run whose pairs are made. Defaults to None: all pairs.
        common: Whether runs with a part of their images in common are tested on that part.
        console: Where tables are printed.

    Raises:
        InputError: If there is no finished run with labels among the sources, the output is no CSV
            file, or the reference is none of the runs.
    """
    output = output and output_file(output, "compare.csv", (".csv",))
    lines, pairs, left_out = list[Measured](), list[RunPair](), dict[str, str]()
    for group, sources in groups.items():
        found = find_runs(sources)
        chosen = None if reference is None else _named(reference, found)
        measured = read_measured(found.runs)
        without = found.runs.keys() - {line.run for line in measured}
        left_out |= {**found.passed_over, **dict.fromkeys(without, "no set with known labels")}
        prefix = f"{group}: " if len(groups) > 1 else ""
        lines += [replace(line, set=prefix + line.set) for line in measured]
        made = read_pairs(found.runs, reference=chosen, common=common)
        pairs += [replace(pair, set=prefix + pair.set) for pair in made]
    if not lines:
        raise InputError(
            f"Expected runs with known labels, but {', '.join(left_out)} have none. Name folders "
            "of `diffclf test` or `diffclf validate`."
        )
    pairs = adjusted(pairs)
    fresh = Path("runs") / f"compare-{datetime.now():%Y%m%d-%H%M%S}" / "compare.csv"
    console = console or Console()
    report.show(lines, pairs, console)
    for path, why in left_out.items():
        console.print(f"  {path} is left out: {why}", highlight=False, markup=False)
    files = report.write(output or fresh, lines, pairs)
    said = ", ".join(map(str, files))
    console.print(f"Results: {said}", soft_wrap=True, highlight=False, markup=False)


def _named(reference: str, found: FoundRuns) -> str:
    """The name of the run that is meant by a name or a path."""
    for name, run in found.runs.items():
        if name == reference or run.path.resolve() == path_of(reference).resolve():
            return name
    raise InputError(
        f"Expected --reference to be one of the runs {', '.join(found.runs)}, but got "
        f"{reference!r}. Name it as RUN too."
    )
