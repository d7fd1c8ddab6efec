"""Figure 6: accuracies on scaled axes, the baselines' line, and how far models are from it."""

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from diffclf_lightning.errors import InputError
from diffclf_lightning.extras import needed
from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.robustness.comparison import Comparison, Point, Row, finite_points
from diffclf_lightning.robustness.scales import Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OUTSIDE, NO_LINE = "†", "no line"
BASELINE, LINE, OTHER, GUIDE = "#7a8ba3", "#0b2545", "#d9d9d9", "#9a9a9a"
COLOURS = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of Okabe and Ito, told apart by colour-blind people."""
MARKERS = "*Ds^vPX"
"""One a model as well as a colour, for print without it; no two of 35 models have both alike."""
PERCENT = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.5, 99.9)
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
TINY = 1e-6
MOST_BARS = 200
"""With more baselines than this, their error bars would hide them."""


def no_figure() -> str:
    """Why no figure can be drawn; empty where one can."""
    try:
        needed("matplotlib", "figures")
    except InputError as error:
        return str(error)
    return ""


def draw(comparisons: Sequence[Comparison], columns: int = 3) -> "Figure":
    """One panel a pair: the baselines of one table, their line and its band, and the models."""
    columns = min(columns, len(comparisons))
    rows = ceil(len(comparisons) / columns)
    names = list(dict.fromkeys(row.name for c in comparisons for row in c.rows))
    styles = {
        name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)
    }
    with needed("matplotlib", "figures").rc_context(STYLE):
        kind = needed("matplotlib.figure", "figures").Figure
        figure: Figure = kind(figsize=(3.3 * columns + 0.8, 3.1 * rows + 0.7), layout="constrained")
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


def _panel(axis: "Axes", c: Comparison, styles: dict[str, tuple[str, str]]) -> None:
    scale = c.settings.scale
    if c.others:
        _scatter(axis, c.others, scale, OTHER, "trained on more")
    few = len(c.baselines) <= MOST_BARS
    counted = any(p.id.total or p.ood.total for p in c.baselines)
    label = "baselines, 99.5% intervals" if few and counted else "baselines"
    _scatter(axis, c.baselines, scale, BASELINE, label)
    for point in c.baselines if few else ():
        _error_bars(axis, point, scale, BASELINE, alpha=0.35, zorder=1)
    every: list[Point] = [*c.baselines, *c.others, *c.rows]
    shown = finite_points(every, scale)
    if shown:
        _limits([p.id.value for p in shown], scale, axis.set_xlim, axis.set_xticks)
        _limits([p.ood.value for p in shown], scale, axis.set_ylim, axis.set_yticks)
    _lines(axis, c)
    for row in c.rows:
        _model(axis, row, scale, *styles[row.name])
    axis.axline((0, 0), slope=1, color=GUIDE, lw=0.7, ls=":", zorder=0, label="no drop")
    axis.set_xlabel(f"{c.pair.id}, %")
    axis.set_ylabel(f"{c.pair.ood}, %")
    axis.set_title(_title(c), fontsize=8, loc="left")


def _title(c: Comparison) -> str:
    if c.fit is None:
        return f"{c.pair.ood}: {NO_LINE}"
    values = [
        f"{name} {line.r_squared:.3f}".lstrip() + (f" ({NO_LINE})" * (not c.settings.is_line(line)))
        for name, line in c.pieces.items()
    ]
    title = f"{c.pair.ood}   R² {', '.join(values)}"
    robustness = c.rows[0].robustness if len(c.rows) == 1 else None
    if robustness is not None:
        title += f"\n{OUTSIDE if robustness.extrapolates else ''}{robustness} points"
    return title


def _scatter(axis: "Axes", points: Sequence[Point], scale: Scale, colour: str, label: str) -> None:
    points = finite_points(points, scale)
    x, y = scale([p.id.value for p in points]), scale([p.ood.value for p in points])
    axis.scatter(x, y, s=9, color=colour, lw=0, label=label, zorder=2)


def _lines(axis: "Axes", c: Comparison) -> None:
    left, right = axis.get_xlim()
    ends = {"": (left, right)}
    if c.pair.at is not None:
        at = float(c.settings.scale(c.pair.at))
        ends = {"below": (left, at), "above": (at, right)}
        axis.axvline(at, color=LINE, lw=0.8, ls="-.", label="break", zorder=1)
    for name, line in c.pieces.items():
        if not c.settings.is_line(line):
            continue
        fitted = line.x.min(), line.x.max()
        for x, style, label in ((ends[name], "--", "extrapolated"), (fitted, "-", "fitted")):
            if x[0] < x[1]:
                y = line.intercept + line.slope * np.array(x)
                axis.plot(x, y, color=LINE, lw=1.2, ls=style, label=f"line, {label}", zorder=3)
        if (band := c.bands.get(name)) is not None:
            axis.fill_between(
                band.x, band.lower, band.upper, color=LINE, alpha=0.15, lw=0, zorder=1,
                label="95% band, by family",
            )  # fmt: skip


def _model(axis: "Axes", row: Row, scale: Scale, colour: str, marker: str) -> None:
    """A model; one at 0 or 1 of an unbounded scale stands at the edge, with its accuracy."""
    x, y = (
        float(scale(p)) if scale.is_finite(p) else limits[int(p)]
        for p, limits in ((row.id.value, axis.get_xlim()), (row.ood.value, axis.get_ylim()))
    )
    if row.is_finite(scale):
        _error_bars(axis, row, scale, colour, alpha=1.0, zorder=4)
    else:
        label = f"{row.name}: {100 * row.id.value:.3g}, {100 * row.ood.value:.3g} %"
        axis.annotate(label, (x, y), (5, 5), textcoords="offset points", fontsize=7, zorder=6)
    axis.plot(
        x, y, marker, color=colour, mec="black", mew=0.5, ms=10 if marker == "*" else 6, ls="",
        label=row.name, zorder=5, clip_on=False,
    )  # fmt: skip


def _error_bars(
    axis: "Axes", point: Point, scale: Scale, colour: str, alpha: float, zorder: int
) -> None:
    (x, x_arms), (y, y_arms) = _arms(point.id, scale), _arms(point.ood, scale)
    axis.errorbar(
        x, y, xerr=x_arms, yerr=y_arms, color=colour, alpha=alpha, lw=0.7, ls="", zorder=zorder
    )


def _arms(accuracy: Accuracy, scale: Scale) -> tuple[float, list[list[float]] | None]:
    """A scaled accuracy, and how far its interval reaches below and above."""
    middle, interval = float(scale(accuracy.value)), accuracy.interval
    if interval is None:
        return middle, None
    ends = np.array([interval.lower, interval.upper])
    low, high = scale(ends.clip(TINY, 1 - TINY) if scale.unbounded else ends)
    return middle, [[max(0.0, middle - float(low))], [max(0.0, float(high) - middle)]]


def _limits(accuracies: Sequence[float], scale: Scale, set_limits: Any, set_ticks: Any) -> None:
    low, high = (float(end) for end in scale([min(accuracies), max(accuracies)]))
    margin = 0.08 * (high - low or 1.0)
    low, high = low - margin, high + margin
    if not scale.unbounded:
        low, high = max(low, 0.0), min(high, 1.0)
    set_limits(low, high)
    ticks = [p for p in PERCENT if low <= float(scale(p / 100)) <= high]
    ticks = ticks[:: ceil(len(ticks) / 7) or 1]
    set_ticks([float(scale(p / 100)) for p in ticks], [f"{p:g}" for p in ticks])
