"""The figures, drawn by matplotlib from their numbers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffclf_lightning.extras import needed
from diffclf_lightning.figures.over_trials import PolicyCurve
from diffclf_lightning.figures.single_times import SingleTimes
from diffclf_lightning.figures.two_candidates import TwoCandidates
from diffclf_lightning.files import draw_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GUIDE, TRUE, RIVAL = "#0b2545", "#8a8a8a", "#0072b2", "#d55e00"
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#a0522d", "#6a51a3")
"""The first four of Okabe and Ito; each has a panel of its own besides."""
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
MOST_NOISES = 8
"""Noises that are drawn one by one."""
COLUMNS = 3


def draw_two_candidates(numbers: TwoCandidates, file: Path) -> None:
    """Figure 2: the errors, what the noise makes of them, and their difference, in one unit."""
    several = numbers.spreads is not None
    with _figure(3.2 * (2 + several), 2.9, 1, 2 + several) as (figure, (axes,)):
        true, rival = numbers.names
        for values, colour, marker in (
            (numbers.true, TRUE, "o"),
            (numbers.rival, RIVAL, "^"),
        ):
            _each_noise(axes[0], numbers, values, colour, marker)
        axes[0].set_ylabel("error")
        axes[0].set_title(_title(f"Errors of image {numbers.key}", numbers), loc="left")
        for text, colour, height in (
            (f"true: {true}", TRUE, 0.97),
            (f"rival: {rival}", RIVAL, 0.89),
        ):
            axes[0].text(
                0.97, height, text, color=colour, transform=axes[0].transAxes, ha="right", va="top"
            )
        _each_noise(axes[-1], numbers, numbers.difference, INK, "o")
        axes[-1].set_title("Rival less true class", loc="left")
        axes[-1].set_ylabel("difference of errors")
        if numbers.spreads is not None:
            place = np.unique(numbers.time, return_inverse=True)[1]
            mean = np.bincount(place, weights=numbers.true) / np.bincount(place)
            _each_noise(axes[1], numbers, numbers.true - mean[place], TRUE, "o")
            axes[1].set_ylabel("error less its mean over noises")
            axes[1].set_title(
                f"What noise changes: SD over noises {numbers.spreads[0]:.2g}", loc="left"
            )
            axes[2].set_title(
                f"Rival less true class: SD over noises {numbers.spreads[1]:.2g}", loc="left"
            )
            axes[2].sharey(axes[1])
            axes[1].autoscale_view()
        for axis in axes:
            axis.set_xlabel("time t")
        for axis in axes[1:]:
            axis.axhline(0, color=GUIDE, lw=0.7, ls=":")
        draw_whole(figure, file)


def draw_single_times(numbers: SingleTimes, own: float, chance: float, file: Path) -> None:
    """Figure 3: accuracy of one timestep over t, beside that of all trials and of guessing."""
    with _figure(4.6, 3.0) as (figure, ((axis,),)):
        time = numbers.time
        lower, upper = 100 * numbers.lower, 100 * numbers.upper
        axis.fill_between(time, lower, upper, color=TRUE, alpha=0.2, lw=0)
        axis.plot(time, 100 * numbers.accuracy, "o-", color=TRUE, ms=2.5, lw=1)
        for value, text in ((own, f"all trials: {100 * own:.1f}%"), (chance, "chance")):
            axis.axhline(100 * value, color=GUIDE, lw=0.8, ls="--")
            axis.text(0.5, 100 * value + 1, text, color="#5a5a5a", ha="center", va="bottom")
        axis.set(xlim=(0, 1), ylim=(0, 106), xlabel="time t", ylabel="accuracy, %")
        said = f"One timestep alone, {numbers.images} images; best at t = {numbers.best:.3g}"
        axis.set_title(f"{said}\nband: 99.5% interval", loc="left")
        draw_whole(figure, file)


def draw_over_trials(curves: Sequence[PolicyCurve], file: Path) -> None:
    """Figure 4: accuracy over the number of trials, a panel for each policy but the first."""
    reference, *others = curves
    rows = -(-len(others) // COLUMNS)
    with _figure(3.0 * COLUMNS, 2.35 * rows + 0.2, rows, COLUMNS) as (figure, grid):
        axes = [axis for row in grid for axis in row]
        for axis, curve, colour in zip(axes, others, COLOURS * len(others), strict=False):
            axis.plot(reference.trials, 100 * reference.accuracy, "--", color=INK, lw=1)
            axis.plot(curve.trials, 100 * curve.accuracy, "o-", color=colour, ms=2.5, lw=1.2)
            ends = (100 * curve.lower, 100 * curve.upper)
            axis.fill_between(curve.trials, *ends, color=colour, alpha=0.2, lw=0)
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
            shown = [curve.lower, curve.upper, reference.accuracy]
            low, high = (100 * float(end(shown)) for end in (np.min, np.max))
            margin = 0.05 * (high - low or 1.0)
            axis.set_ylim(low - margin, high + margin)
            axis.set_title(curve.policy, color=colour, loc="left")
        axes[0].text(
            0.97, 0.05, f"- - {reference.policy}", color=INK, ha="right",
            transform=axes[0].transAxes,
        )  # fmt: skip
        for axis in axes[len(others) :]:
            axis.set_axis_off()
        for row in grid:
            row[0].set_ylabel("accuracy, %")
        figure.supxlabel(
            "trials of each candidate (line: mean, band: 5% to 95% of resampled trials; each panel "
            "has an axis of its own)",
            fontsize=8,
        )
        draw_whole(figure, file)


def _each_noise(
    axis: "Axes", numbers: TwoCandidates, values: Any, colour: str, marker: str
) -> None:
    """A line for each noise over the times that have it."""
    shown = min(numbers.noises, MOST_NOISES)
    for noise in range(shown):
        own = numbers.noise == noise
        axis.plot(
            numbers.time[own], values[own], marker=marker, color=colour, ms=1.5, lw=0.6,
            alpha=0.9 if shown == 1 else 0.55,
        )  # fmt: skip


def _title(text: str, numbers: TwoCandidates) -> str:
    count = numbers.noises
    shown = f"{min(count, MOST_NOISES)} of {count}" if count > MOST_NOISES else str(count)
    return f"{text}, {shown} noise{'s' * (count > 1)} a time"


@contextmanager
def _figure(
    width: float, height: float, rows: int = 1, columns: int = 1
) -> Iterator[tuple["Figure", Any]]:
    """A figure and its axes, rows of columns; lengths in inches."""
    with needed("matplotlib", "figures").rc_context({**STYLE, "axes.titlesize": 8}):
        kind = needed("matplotlib.figure", "figures").Figure
        figure: Figure = kind(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots(rows, columns, squeeze=False).tolist()
