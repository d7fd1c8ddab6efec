"""Comparisons on the terminal and on disk."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from diffclf_lightning.metrics import Accuracy, Piece
from diffclf_lightning.results import write_whole
from diffclf_lightning.robustness.figure import draw
from diffclf_lightning.robustness.report import lines_table, models_tables, notes
from diffclf_lightning.robustness.study import Comparison, Row

Comparisons = Mapping[str, Sequence[Comparison]]
"""Comparisons by table of baselines."""


def show(comparisons: Comparisons, console: Console, *, lines: bool) -> None:
    """Print tables and notes.

    Args:
        comparisons: The comparisons.
        console: Where to.
        lines: Whether to print the lines as well as the models.
    """
    for several in comparisons.values():
        if lines:
            console.print(lines_table(several))
        if any(comparison.rows for comparison in several):
            console.print(*models_tables(several), sep="")
        for note in notes(several):
            console.print(Padding(Text(note), (0, 0, 0, 2)))
        console.print()


def write(folder: Path, comparisons: Comparisons) -> None:
    """Write ``robustness.csv``, ``robustness.json`` and a figure for each table of baselines.

    Args:
        folder: The folder, made if need be.
        comparisons: The comparisons.
    """
    folder.mkdir(parents=True, exist_ok=True)
    every = [c for several in comparisons.values() for c in several]
    records = [_record(c, row) for c in every for row in c.rows]
    (folder / "robustness.csv").unlink(missing_ok=True)
    if records:
        text = io.StringIO()
        writer = csv.DictWriter(text, records[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        write_whole(folder / "robustness.csv", text.getvalue())
    content = json.dumps([_content(comparison) for comparison in every], indent=2, allow_nan=False)
    write_whole(folder / "robustness.json", content + "\n")
    for source, several in comparisons.items():
        file = folder / f"robustness-{source}.png"
        draw(several).savefig(file, dpi=150, bbox_inches="tight")


def _content(comparison: Comparison) -> dict[str, Any]:
    fit, pair = comparison.fit, comparison.pair
    return {
        "baselines": comparison.source,
        "id_set": pair.id,
        "ood_set": pair.ood,
        "break": pair.at,
        "scale": comparison.scale.name,
        "lines": {} if fit is None else {
            name or "line": _line(piece, is_line=name in comparison.lines)
            for name, piece in fit.pieces.items()
        },
        "models": [_record(comparison, row) for row in comparison.rows],
        "notes": list(comparison.notes),
        "other_totals": dict(comparison.totals),
        "problem": comparison.problem,
    }  # fmt: skip


def _line(piece: Piece, *, is_line: bool) -> dict[str, Any]:
    return {
        "baselines": piece.count,
        "slope": piece.slope,
        "intercept": piece.intercept,
        "r_squared": piece.r_squared,
        "residual_sd": piece.solution.residual_sd,
        "lowest_id": piece.lowest,
        "highest_id": piece.highest,
        "is_line": is_line,
    }


def _record(comparison: Comparison, row: Row) -> dict[str, Any]:
    robustness = row.robustness
    interval = None if robustness is None else robustness.interval
    fit = comparison.fit
    return {
        "baselines": comparison.source,
        "id_set": comparison.pair.id,
        "ood_set": comparison.pair.ood,
        "model": row.model,
        **_counts("id", row.id),
        **_counts("ood", row.ood),
        "line_r_squared": None if fit is None else fit.piece(row.id.value).r_squared,
        "predicted": None if robustness is None else robustness.predicted,
        "effective_robustness": None if robustness is None else robustness.effective,
        "standard_error": None if robustness is None else robustness.standard_error,
        "lower": None if interval is None else interval.lower,
        "upper": None if interval is None else interval.upper,
        "extrapolates": None if robustness is None else robustness.extrapolates,
        "problem": row.problem,
    }


def _counts(axis: str, accuracy: Accuracy) -> dict[str, Any]:
    interval = accuracy.interval
    return {
        f"{axis}_accuracy": accuracy.value,
        f"{axis}_correct": accuracy.correct,
        f"{axis}_total": accuracy.total,
        f"{axis}_lower": None if interval is None else interval.lower,
        f"{axis}_upper": None if interval is None else interval.upper,
    }


def by_source(comparisons: Iterable[Comparison]) -> Comparisons:
    """Comparisons by table of baselines.

    Args:
        comparisons: The comparisons.

    Returns:
        The same, grouped.
    """
    grouped: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        grouped.setdefault(comparison.source, []).append(comparison)
    return grouped
