"""Comparisons on the terminal and on disk."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from diffclf_lightning.files import draw_whole, made, write_whole
from diffclf_lightning.metrics import Accuracy, Interval
from diffclf_lightning.robustness.comparison import Comparison, Row
from diffclf_lightning.robustness.figure import NO_LINE, OUTSIDE, draw, no_figure

UNFIT = "*"
MOST = 100
"""Baselines that are shown where there is no line."""
WIDE = 100
"""Columns of a terminal that has room for families beside effective robustness."""
SIDES = {"": "", "below": "< ", "above": "> "}


def show(comparisons: Sequence[Comparison], console: Console, *, lines: bool) -> None:
    """Print tables of the models, of the lines too if asked for, and notes."""
    for source, several in _by_source(comparisons):
        if lines and any(c.fit is not None for c in several):
            console.print(_lines_table(source, several))
        for table in _models_tables(source, several, console.width >= WIDE):
            console.print(table)
        for note in notes(several):
            console.print(Padding(Text(note), (0, 0, 0, 2)))
        console.print()


def write(folder: Path, comparisons: Sequence[Comparison]) -> None:
    """Write ``robustness.csv``, ``robustness.json`` and a figure for each table that has lines.

    Without the extra ``figures`` there is no figure.
    """
    made(folder)
    records = [_record(c, row) for c in comparisons for row in c.rows]
    if not records:  # of an earlier comparison
        (folder / "robustness.csv").unlink(missing_ok=True)
    else:
        text = io.StringIO()
        writer = csv.DictWriter(text, records[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        write_whole(folder / "robustness.csv", text.getvalue())
    content = json.dumps([_content(c) for c in comparisons], indent=2, allow_nan=False)
    write_whole(folder / "robustness.json", content + "\n")
    for source, several in _by_source(comparisons):
        with_lines = [c for c in several if c.fit is not None]
        file = folder / f"robustness-{source}.png"
        if with_lines and not no_figure():
            draw_whole(draw(with_lines), file, bbox_inches="tight")
        else:
            file.unlink(missing_ok=True)


def notes(comparisons: Sequence[Comparison]) -> list[str]:
    """What has to be read beside the tables, a line each."""
    rows = [(comparison, row) for comparison in comparisons for row in comparison.rows]
    predicted = any(c.rows and c.fit is not None for c in comparisons)
    what = "ID, OOD: in and out of distribution; effective robustness in points"
    lines = [what] if predicted else []
    if any(row.robustness is not None and row.robustness.extrapolates for _, row in rows):
        lines.append(f"{OUTSIDE}: outside of the baselines, the line is extrapolated")
    if not all(c.settings.is_line(line) for c in comparisons for line in c.pieces.values()):
        lines.append(
            f"{NO_LINE}, or {UNFIT} at an R²: the fit explains too little of the baselines' "
            "variance to predict from it; --min-r2 sets how much is enough"
        )
    lines += [
        f"{row.name}: {row.problem}" for c, row in rows
        if row.problem and row.line and c.settings.is_line(row.line)
    ]  # fmt: skip
    for c in comparisons:
        if c.rows and c.fit is None:
            why = f"{c.pair.ood}: no line, so no effective robustness. {c.problem}"
            lines.append(f"{why} (--baselines takes runs and tables)")
    for c in comparisons:
        said = "" if c.rows and c.fit is None else c.problem
        lines += [f"{c.pair.ood}: {note}" for note in (*c.notes, said) if note]
    totals = {name: pair for c in comparisons for name, pair in c.totals.items()}
    if totals:
        each = "; ".join(f"{name} {ours} and {theirs}" for name, (ours, theirs) in totals.items())
        lines.append(f"images here and of the baselines (intervals count the former): {each}")
    return list(dict.fromkeys(lines))


def _by_source(comparisons: Sequence[Comparison]) -> Iterable[tuple[str, list[Comparison]]]:
    return ((source, list(group)) for source, group in groupby(comparisons, lambda c: c.source))


def _table(
    title: str, left: Sequence[str], right: Sequence[str], rows: Iterable[Sequence[str]], width: int
) -> Table:
    """A table with columns to the left, which may fold, and to the right, which may not."""
    table = Table(
        title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False,
        collapse_padding=True,
    )  # fmt: skip
    for column in left:
        table.add_column(column, overflow="fold", min_width=width)
    for column in right:
        table.add_column(column, justify="right", no_wrap=True)
    for cells in rows:
        table.add_row(*map(Text, cells))  # brackets in a name are no markup
    return table


def _lines_table(source: str, comparisons: Sequence[Comparison]) -> Table:
    rows = list[Sequence[str]]()
    for c in comparisons:
        sets = c.pair.ood, c.pair.id
        if c.fit is None:
            rows.append((*sets, "", str(len(c.baselines)), "", "", "none "))
        for name, line in c.pieces.items():
            side = "" if c.pair.at is None else f"{SIDES[name]}{100 * c.pair.at:g}"
            values = [f"{v:.3f}" for v in (line.slope, line.intercept, line.r_squared)]
            mark = " " if c.settings.is_line(line) else UNFIT
            rows.append((*sets, side, str(line.count), *values[:2], values[2] + mark))
    title = f"Lines of {source} ({comparisons[0].settings.scale.name} scale on both axes)"
    right = ["\nbreak", "base-\nlines", "\nslope", "inter-\ncept", "\nR² "]
    return _table(title, ["\nOOD set", "\nID set"], right, rows, width=1)


def _models_tables(source: str, comparisons: Sequence[Comparison], wide: bool) -> list[Table]:
    """For one model a table with a row a pair, for several a table a pair."""
    without = [c for c in comparisons if c.rows and c.fit is None]
    if without:
        rest = [c for c in comparisons if c not in without]
        return [*map(_drops_table, without), *(_models_tables(source, rest, wide) if rest else [])]
    models = {row.name for c in comparisons for row in c.rows}
    if len(models) == 1:
        rows = [(c.pair.ood, c, row) for c in comparisons for row in c.rows]
        return [_models_table(f"of {models.pop()} against {source}", "set", rows, wide)]
    return [
        _models_table(
            f"on {c.pair.ood} against {source}",
            "model",
            [(row.name, c, row) for row in c.rows],
            wide,
        )
        for c in comparisons
        if c.rows
    ]


def _drops_table(c: Comparison) -> Table:
    """Models and baselines on a pair that has no line."""
    names = {row.name for row in c.rows}
    others = [point for point in c.baselines if point.name not in names]
    points = [*c.rows, *others[:MOST]]
    cells = [
        (point.name, point.family, _accuracy(point.id), _accuracy(point.ood), _signed(-point.drop))
        for point in points
    ]
    if len(others) > MOST:
        cells.append((f"and {len(others) - MOST:,} more baselines", "", "", "", ""))
    right = [f"{c.pair.id} %\n(99.5% interval)", f"{c.pair.ood} %\n(99.5% interval)",
             "change,\npoints"]  # fmt: skip
    return _table(f"From {c.pair.id} to {c.pair.ood}", ["\nmodel", "\nfamily"], right, cells, 8)


def _models_table(
    title: str, first: str, rows: Sequence[tuple[str, Comparison, Row]], wide: bool
) -> Table:
    many = len({c.pair for _, c, _ in rows}) > 1
    families = wide and any(row.family != row.name for _, _, row in rows)
    cells = list[Sequence[str]]()
    for name, c, row in rows:
        r_squared = [f"{row.line.r_squared:.3f}" if row.line else ""] if many else []
        explained = row.line is None or c.settings.is_line(row.line)
        predicted, beyond = "-", "see below" if explained else NO_LINE
        if row.robustness is not None:
            mark = OUTSIDE if row.robustness.extrapolates else ""
            predicted, beyond = f"{mark}{100 * row.robustness.predicted:.1f}", str(row.robustness)
        named = (name, row.family) if families else (name,)
        ood = _accuracy(row.ood)
        cells.append((*named, f"{100 * row.id.value:.1f}", ood, *r_squared, predicted, beyond))
    right = ["ID\n%", "OOD %\n(99.5% interval)", *(["\nR²"] if many else []), "by the\nline, %",
             "effective robustness\n[95% interval]"]  # fmt: skip
    left = [f"\n{first}", *(["\nfamily"] if families else [])]
    return _table(f"Effective robustness {title}", left, right, cells, width=15)


def _accuracy(accuracy: Accuracy) -> str:
    """An accuracy in percent, with its interval where that is known."""
    text, interval = f"{100 * accuracy.value:.1f}", accuracy.interval
    if interval is None:
        return text
    return f"{text} ({100 * interval.lower:.1f}-{100 * interval.upper:.1f})"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}" if abs(share) >= 5e-4 else "0.0"


def _content(c: Comparison) -> dict[str, Any]:
    lines = {
        name or "line": {
            "baselines": line.count, "slope": line.slope, "intercept": line.intercept,
            "r_squared": line.r_squared, "residual_sd": line.residual_sd, "lowest_id": line.lowest,
            "highest_id": line.highest, "is_line": c.settings.is_line(line),
        }
        for name, line in c.pieces.items()
    }  # fmt: skip
    return {
        "baselines": c.source, "id_set": c.pair.id, "ood_set": c.pair.ood, "break": c.pair.at,
        "scale": c.settings.scale.name, "lines": lines,
        "models": [_record(c, row) for row in c.rows], "notes": list(c.notes),
        "other_totals": c.totals, "problem": c.problem,
    }  # fmt: skip


def _record(c: Comparison, row: Row) -> dict[str, Any]:
    r = row.robustness
    return {
        "baselines": c.source, "id_set": c.pair.id, "ood_set": c.pair.ood, "model": row.name,
        "family": row.family, **_counts("id", row.id), **_counts("ood", row.ood), "drop": row.drop,
        "line_r_squared": None if row.line is None else row.line.r_squared,
        "predicted": None if r is None else r.predicted,
        "effective_robustness": None if r is None else r.effective,
        "standard_error": None if r is None else r.standard_error,
        **_ends("", None if r is None else r.interval),
        "extrapolates": None if r is None else r.extrapolates,
        "problem": row.problem,
    }  # fmt: skip


def _counts(axis: str, accuracy: Accuracy) -> dict[str, Any]:
    return {
        f"{axis}_accuracy": accuracy.value, f"{axis}_correct": accuracy.correct,
        f"{axis}_total": accuracy.total, **_ends(f"{axis}_", accuracy.interval),
    }  # fmt: skip


def _ends(prefix: str, interval: Interval | None) -> dict[str, float | None]:
    ends = {"lower": None, "upper": None} if interval is None else asdict(interval)
    return {f"{prefix}{name}": end for name, end in ends.items()}
