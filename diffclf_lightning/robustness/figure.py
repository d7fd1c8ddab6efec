"""Figure 6: accuracies on scaled axes, the baselines' line, and how far models are from it."""

from collections.abc import Sequence
from math import ceil

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffclf_lightning.metrics import Accuracy, Piece, Scale
from diffclf_lightning.robustness.extremes import Point
from diffclf_lightning.robustness.report import NO_LINE, OUTSIDE, points
from diffclf_lightning.robustness.study import Comparison, Row

BASELINE, LINE, OTHER, GUIDE = "#7a8ba3", "#0b2545", "#d9d9d9", "#9a9a9a"
COLOURS = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of Okabe and Ito, told apart by colour-blind people."""
MARKERS = "*Ds^vPX"
"""One a model as well as a colour, for print without it; no two of 35 models have both alike."""
PERCENT = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.5, 99.9)
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
TINY = 1e-6
MANY = 200
"""With more baselines than this, their error bars would hide them."""


def draw(comparisons: Sequence[Comparison], columns: int = 3) -> Figure:
    """One panel a pair: baselines, their line and its band, the break, and the models.

    Args:
        comparisons: Comparisons with one table of baselines.
        columns: Panels in a row.

    Returns:
        The figure.
    """
    columns = min(columns, len(comparisons))
    rows = ceil(len(comparisons) / columns)
    names = list(dict.fromkeys(row.model for c in comparisons for row in c.rows))
    styles = {
        name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.3 * columns + 0.8, 3.1 * rows + 0.7), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
        for axis, comparison in zip(axes, comparisons, strict=False):
            _panel(axis, comparison, styles)
        for axis in axes[len(comparisons) :]:
            axis.set_axis_off()
        handles = {
            label: handle
            for axis in axes
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        handles = {label: handles[label] for label in sorted(handles, key=names.__contains__)}
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", frameon=False,
            ncols=min(len(handles), 2 * columns),
        )  # fmt: skip
    return figure


def _panel(axis: Axes, comparison: Comparison, styles: dict[str, tuple[str, str]]) -> None:
    scale = comparison.scale
    drawn: list[Point | Row] = [*comparison.baselines, *comparison.others, *comparison.rows]
    shown = [(entry.id, entry.ood) for entry in drawn]
    shown = [(x, y) for x, y in shown if not (scale.unbounded and (x.is_extreme or y.is_extreme))]
    if comparison.others:
        _scatter(axis, comparison.others, scale, OTHER, "trained on more")
    few = len(comparison.baselines) <= MANY
    counted = any(p.id.total or p.ood.total for p in comparison.baselines)
    label = "baselines, 99.5% intervals" if few and counted else "baselines"
    _scatter(axis, comparison.baselines, scale, BASELINE, label)
    for point in comparison.baselines if few else ():
        _error_bars(axis, point.id, point.ood, scale, BASELINE, 0.35)
    if shown:
        _limits(axis, shown, scale)
    _lines(axis, comparison)
    for row in comparison.rows:
        _model(axis, row, scale, *styles[row.model])
    axis.axline((0, 0), slope=1, color=GUIDE, lw=0.7, ls=":", zorder=0, label="no drop")
    axis.set_xlabel(f"{comparison.pair.id}, %")
    axis.set_ylabel(f"{comparison.pair.ood}, %")
    axis.set_title(_title(comparison), fontsize=8, loc="left")


def _title(comparison: Comparison) -> str:
    pair, fit = comparison.pair, comparison.fit
    if fit is None:
        return f"{pair.ood}: {NO_LINE}"
    values = ", ".join(f"{f'{name} ' if name else ''}{piece.r_squared:.3f}"
                       + ("" if name in comparison.lines else f" ({NO_LINE})")
                       for name, piece in fit.pieces.items())  # fmt: skip
    robust = [row.robustness for row in comparison.rows if row.robustness is not None]
    title = f"{pair.ood}   R² {values}"
    if len(comparison.rows) == len(robust) == 1:
        mark = OUTSIDE if robust[0].extrapolates else ""
        title += f"\n{mark}{points(robust[0])} points"
    return title


def _scatter(axis: Axes, many: Sequence[Point], scale: Scale, colour: str, label: str) -> None:
    many = [point for point in many if not (scale.unbounded and point.is_extreme)]
    x, y = scale([p.id.value for p in many]), scale([p.ood.value for p in many])
    axis.scatter(x, y, s=9, color=colour, lw=0, label=label, zorder=2)


def _lines(axis: Axes, comparison: Comparison) -> None:
    fit, scale, pair = comparison.fit, comparison.scale, comparison.pair
    if pair.at is not None:
        axis.axvline(float(scale(pair.at)), color=LINE, lw=0.8, ls="-.", label="break", zorder=1)
    if fit is None:
        return
    left, right = (float(end) for end in scale.inverse(axis.get_xlim()))
    for name in comparison.lines:
        piece = fit.pieces[name]
        low, high = left, right
        if pair.at is not None:
            low, high = (low, pair.at) if name == "below" else (pair.at, high)
        _segment(axis, piece, scale, low, high, ls="--", label="line, extrapolated")
        _segment(axis, piece, scale, piece.lowest, piece.highest, ls="-", label="line, fitted")
        band = comparison.bands.get(name)
        if band is not None:
            axis.fill_between(
                scale(band.id), band.scaled_lower, band.scaled_upper, color=LINE, alpha=0.15, lw=0,
                label="95% band, by family", zorder=1,
            )  # fmt: skip


def _segment(
    axis: Axes, piece: Piece, scale: Scale, low: float, high: float, ls: str, label: str
) -> None:
    if low < high:
        ends = scale([low, high])
        x = np.linspace(float(ends[0]), float(ends[1]), 50)
        y = piece.scaled_predictions(scale.inverse(x).tolist())
        axis.plot(x, y, color=LINE, lw=1.2, ls=ls, label=label, zorder=3)


def _model(axis: Axes, row: Row, scale: Scale, colour: str, marker: str) -> None:
    """A model; one at 0 or 1 of an unbounded scale stands at the edge, with its accuracy."""
    x, y = (
        limits[int(accuracy.value)]
        if scale.unbounded and accuracy.is_extreme
        else float(scale(accuracy.value))
        for accuracy, limits in ((row.id, axis.get_xlim()), (row.ood, axis.get_ylim()))
    )
    if scale.unbounded and (row.id.is_extreme or row.ood.is_extreme):
        label = f"{row.model}: {100 * row.id.value:.3g}, {100 * row.ood.value:.3g} %"
        axis.annotate(label, (x, y), (5, 5), textcoords="offset points", fontsize=7, zorder=6)
    _error_bars(axis, row.id, row.ood, scale, colour, 1.0)
    axis.plot(
        x, y, marker, color=colour, mec="black", mew=0.5, ms=10 if marker == "*" else 6, ls="",
        label=row.model, zorder=5, clip_on=False,
    )  # fmt: skip


def _error_bars(
    axis: Axes, id: Accuracy, ood: Accuracy, scale: Scale, colour: str, alpha: float
) -> None:
    if scale.unbounded and (id.is_extreme or ood.is_extreme):
        return
    x, y = float(scale(id.value)), float(scale(ood.value))
    axis.errorbar(
        x, y, xerr=_arms(id, scale, x), yerr=_arms(ood, scale, y), color=colour, alpha=alpha,
        lw=0.7, ls="", zorder=1 if alpha < 1 else 4,
    )  # fmt: skip


def _arms(accuracy: Accuracy, scale: Scale, middle: float) -> list[list[float]] | None:
    interval = accuracy.interval
    if interval is None:
        return None
    ends = [interval.lower, interval.upper]
    low, high = scale(np.clip(ends, TINY, 1 - TINY)) if scale.unbounded else scale(ends)
    return [[max(0.0, middle - float(low))], [max(0.0, float(high) - middle)]]


def _limits(axis: Axes, shown: Sequence[tuple[Accuracy, Accuracy]], scale: Scale) -> None:
    for values, limit, set_ticks in (
        ([x.value for x, _ in shown], axis.set_xlim, axis.set_xticks),
        ([y.value for _, y in shown], axis.set_ylim, axis.set_yticks),
    ):
        ends = scale([min(values), max(values)])
        margin = 0.08 * (float(ends[1] - ends[0]) or 1.0)
        low, high = float(ends[0]) - margin, float(ends[1]) + margin
        if not scale.unbounded:
            low, high = max(low, 0.0), min(high, 1.0)
        limit(low, high)
        ticks = [p for p in PERCENT if low <= float(scale(p / 100)) <= high]
        ticks = ticks[:: ceil(len(ticks) / 7) or 1]
        set_ticks([float(scale(p / 100)) for p in ticks], [f"{p:g}" for p in ticks])
