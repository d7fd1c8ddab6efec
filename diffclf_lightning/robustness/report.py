"""Comparisons as tables that a person can read."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from diffclf_lightning.metrics import Accuracy, Piece, Robustness
from diffclf_lightning.robustness.study import Comparison, Row

OUTSIDE = "†"
NO_LINE, UNFIT = "no line", "*"
SIDES = {"below": "< ", "above": "> "}


def lines_table(comparisons: Sequence[Comparison]) -> Table:
    """The lines of a table of baselines.

    Args:
        comparisons: Comparisons with one table of baselines.

    Returns:
        A table, one row a line.
    """
    scale = comparisons[0].scale.name
    table = _table(f"Lines of {comparisons[0].source} ({scale} scale on both axes)")
    for column in ("OOD set", "ID set"):
        table.add_column(f"\n{column}", overflow="fold")
    for column in ("\nbreak", "base-\nlines", "\nslope", "inter-\ncept", "\nR² "):
        table.add_column(column, justify="right", no_wrap=True)
    for comparison in comparisons:
        pair = comparison.pair
        if comparison.fit is None:
            count = str(len(comparison.baselines))
            _add_row(table, pair.ood, pair.id, "", count, "", "", "none ")
            continue
        for name, piece in comparison.fit.pieces.items():
            side = "" if pair.at is None else f"{SIDES[name]}{100 * pair.at:g}"
            mark = " " if name in comparison.lines else UNFIT
            *values, r_squared = _line(piece)
            _add_row(table, pair.ood, pair.id, side, *values, r_squared + mark)
    return table


def models_tables(comparisons: Sequence[Comparison]) -> list[Table]:
    """Effective robustness of models against a table of baselines.

    Args:
        comparisons: Comparisons with one table of baselines.

    Returns:
        For one model a table with a row a pair, for several a table a pair.
    """
    source = comparisons[0].source
    if len({row.model for comparison in comparisons for row in comparison.rows}) == 1:
        rows = [(c.pair.ood, c, row) for c in comparisons for row in c.rows]
        name = rows[0][2].model
        return [_models_table(f"Effective robustness of {name} against {source}", "set", rows)]
    return [
        _models_table(
            f"Effective robustness on {c.pair.ood} against {source}",
            "model",
            [(row.model, c, row) for row in c.rows],
        )
        for c in comparisons
        if c.rows
    ]


def _models_table(title: str, first: str, rows: Sequence[tuple[str, Comparison, Row]]) -> Table:
    table = _table(title)
    lines = len({comparison.pair for _, comparison, _ in rows}) > 1
    table.add_column(f"\n{first}", overflow="fold", min_width=15)
    r_squared = ["\nR²"] if lines else []
    for column in ("ID\n%", "OOD %\n(99.5% interval)", *r_squared, "by the\nline, %",
                   "effective robustness\n[95% interval]"):  # fmt: skip
        table.add_column(column, justify="right", no_wrap=True)
    for name, comparison, row in rows:
        accuracies = f"{100 * row.id.value:.1f}", _with_interval(row.ood)
        r_squared = [_r_squared_at(comparison, row)] if lines else []
        _add_row(table, name, *accuracies, *r_squared, *_prediction(comparison, row))
    return table


def notes(comparisons: Iterable[Comparison]) -> list[str]:
    """What has to be read beside the tables.

    Args:
        comparisons: The comparisons.

    Returns:
        One line a note.
    """
    comparisons = list(comparisons)
    rows = [row for comparison in comparisons for row in comparison.rows]
    lines = ["ID, OOD: in and out of distribution; effective robustness in points"] if rows else []
    if any(row.robustness is not None and row.robustness.extrapolates for row in rows):
        lines.append(f"{OUTSIDE}: outside of the baselines, the line is extrapolated")
    if any(c.fit is not None and len(c.lines) < len(c.fit.pieces) for c in comparisons):
        lines.append(
            f"{NO_LINE}, or {UNFIT} at an R²: the fit explains too little of the baselines' "
            "variance to predict from it; --min-r2 sets how much is enough"
        )
    lines += [
        f"{row.model}: {row.problem}"
        for comparison in comparisons
        for row in comparison.rows
        if row.problem and comparison.fit is not None and not comparison.lacks_line(row)
    ]
    for comparison in comparisons:
        said = [*comparison.notes, *([comparison.problem] if comparison.problem else [])]
        lines += [f"{comparison.pair.ood}: {note}" for note in said]
    totals = {name: pair for c in comparisons for name, pair in c.totals.items()}
    if totals:
        each = "; ".join(f"{name} {ours} and {theirs}" for name, (ours, theirs) in totals.items())
        lines.append(f"images here and of the baselines (intervals count the former): {each}")
    return list(dict.fromkeys(lines))


def points(robustness: Robustness) -> str:
    """Effective robustness with its interval, in points.

    Args:
        robustness: The effective robustness.

    Returns:
        For instance ``+1.5 [-0.2, +3.2]``.
    """
    value, interval = f"{_zero_free(100 * robustness.effective):+.1f}", robustness.interval
    if interval is None:
        return f"{value} [unknown]"
    # A bound of -0.0 is below zero: its sign says whether the interval holds zero.
    return f"{value} [{100 * interval.lower:+.1f}, {100 * interval.upper:+.1f}]"


def _table(title: str) -> Table:
    return Table(
        title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False,
        collapse_padding=True,
    )  # fmt: skip


def _add_row(table: Table, *cells: str) -> None:
    """A row of plain text: brackets are no markup."""
    table.add_row(*(Text(cell) for cell in cells))


def _line(piece: Piece) -> tuple[str, ...]:
    values = (piece.slope, piece.intercept, piece.r_squared)
    return str(piece.count), *(f"{value:.3f}" for value in values)


def _r_squared_at(comparison: Comparison, row: Row) -> str:
    if comparison.fit is None:
        return ""
    return f"{comparison.fit.piece(row.id.value).r_squared:.3f}"


def _with_interval(accuracy: Accuracy) -> str:
    interval = accuracy.interval
    shown = f"{100 * accuracy.value:.1f}"
    if interval is None:
        return shown
    return f"{shown} ({100 * interval.lower:.1f}-{100 * interval.upper:.1f})"


def _prediction(comparison: Comparison, row: Row) -> tuple[str, str]:
    if row.robustness is None:
        return "-", NO_LINE if comparison.lacks_line(row) else "see below"
    mark = OUTSIDE if row.robustness.extrapolates else ""
    return f"{mark}{100 * row.robustness.predicted:.1f}", points(row.robustness)


def _zero_free(value: float) -> float:
    """No minus before a zero."""
    return 0.0 if abs(value) < 0.05 else value
