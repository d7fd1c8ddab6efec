"""Figures of the report, drawn by matplotlib, as SVG that takes the colours of the page."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from diffclf_lightning.extras import needed
from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.report.measures import Bin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, TONE = "#010203", "#010210"
"""Stand for the colours of the page's text, and of the run whose part of the page it is."""
SERIES = ("#010204", "#010205", "#010206", "#010207", "#010208", "#010209")
"""Stand for the colours of runs, ``--run-0`` and so on in the style sheet."""
MARKS = "oDs^vP"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.frameon": False,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    ),
}


def accuracies(counts: Mapping[str, Mapping[str, Accuracy]]) -> str:
    """Accuracy with its interval, a row for each set, a mark for each run.

    Args:
        counts: Accuracy by run and set.

    Returns:
        The figure.
    """
    sets = list(dict.fromkeys(name for by_set in counts.values() for name in by_set))
    with _figure(0.62 + len(sets) * (0.14 + 0.15 * len(counts)), width=4.2) as (figure, axis):
        for place, (run, by_set) in enumerate(counts.items()):
            rows = [sets.index(name) + 0.7 * ((place + 0.5) / len(counts) - 0.5) for name in by_set]
            values = 100 * np.array([count.value for count in by_set.values()])
            ends = [100 * np.array(_ends(count)) for count in by_set.values()]
            bars = np.abs(np.array(ends).T - values)
            colour, mark = SERIES[place % len(SERIES)], MARKS[place % len(MARKS)]
            axis.errorbar(values, rows, xerr=bars, fmt=mark, color=colour, ms=4, label=run, lw=1.3)
        axis.set_yticks(range(len(sets)), sets)
        axis.set_ylim(len(sets) - 0.4, -0.6)
        axis.set_xlim(right=min(axis.get_xlim()[1], 100.5))
        axis.grid(axis="x", color=INK, alpha=0.15)
        axis.set_xlabel("accuracy, %, with its 99.5% interval")
        if len(counts) > 1:
            figure.legend(loc="outside lower center", ncols=min(len(counts), 3))
        return _svg(figure, "Accuracy of every set with its interval; the table has the numbers.")


def reliability(bins: Sequence[Bin], error: float) -> str:
    """Accuracy against confidence, a dot for each bin.

    Args:
        bins: Bins of confidence.
        error: The expected calibration error.

    Returns:
        The figure.
    """
    with _figure(2.7) as (figure, axis):
        axis.plot([0, 1], [0, 1], "--", color=INK, lw=0.8, alpha=0.6)
        x, y = (
            np.array([each.confidence for each in bins]),
            np.array([each.accuracy for each in bins]),
        )
        ends = np.array([(each.interval.lower, each.interval.upper) for each in bins]).T
        axis.vlines(x, *ends, color=TONE, lw=1.2)
        share = np.array([each.count for each in bins]) / sum(each.count for each in bins)
        axis.scatter(x, y, s=14 + 90 * share, color=TONE, zorder=3)
        axis.set(xlim=(-0.02, 1.03), ylim=(-0.03, 1.03))
        axis.set(xlabel="confidence", ylabel="share that is right")
        said = "; ".join(f"{b.confidence:.2f}: {b.accuracy:.2f} of {b.count}" for b in bins)
        text = f"Expected calibration error {error:.3f}. Share that is right by confidence: {said}."
        return _svg(figure, text)


def survivors(means: NDArray[np.float64]) -> str:
    """Mean number of candidates still in the race after so many trials.

    Args:
        means: Mean number of labels that met at least 1, 2, ... trials.

    Returns:
        The figure.
    """
    with _figure(2.7) as (figure, axis):
        steps = np.append(means, means[-1])
        axis.step(np.arange(len(steps)), steps, where="post", color=TONE, lw=1.6)
        axis.set(xlabel="trials", ylabel="classes in the race", ylim=(0, 1.05 * means.max()))
        changes = [0, *(np.flatnonzero(np.diff(means)) + 1)]
        said = ", ".join(f"{means[i]:.3g} from trial {i + 1}" for i in changes[:12])
        return _svg(figure, f"Mean number of classes in the race: {said}.")


def histogram(evaluations: NDArray[np.float64]) -> str:
    """How many images took how many evaluations.

    Args:
        evaluations: Evaluations of each image.

    Returns:
        The figure.
    """
    with _figure(2.7) as (figure, axis):
        axis.hist(evaluations, bins=min(30, len(np.unique(evaluations))), color=TONE, alpha=0.85)
        axis.set(xlabel="evaluations of an image", ylabel="images")
        low, middle, high = np.quantile(evaluations, [0, 0.5, 1])
        text = f"Evaluations of an image: {low:.0f} to {high:.0f}, half of them up to {middle:.0f}."
        return _svg(figure, text)


def _ends(count: Accuracy) -> tuple[float, float]:
    interval = count.interval
    return (count.value, count.value) if interval is None else (interval.lower, interval.upper)


@contextmanager
def _figure(height: float, width: float = 3.7) -> Iterator[tuple["Figure", Any]]:
    """A figure and its axis in the style of the report; lengths in inches."""
    with needed("matplotlib", "report").rc_context(STYLE):
        figure: Figure = needed("matplotlib.figure", "report").Figure(
            figsize=(width, height), layout="constrained"
        )
        yield figure, figure.subplots()


def _svg(figure: "Figure", text: str) -> str:
    """The figure as an element of the page, with a text for those who do not see it."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("metadata"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
        if element.tag == "g":  # numbered in each figure alike
            attributes.pop("id", None)
        element.attrib.clear()
        element.attrib.update(attributes)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": text}
    return _coloured(ElementTree.tostring(root, encoding="unicode"))


def _coloured(svg: str) -> str:
    names = {INK: "currentColor", TONE: "var(--tone)"} | {
        c: f"var(--run-{i})" for i, c in enumerate(SERIES)
    }
    return re.sub("|".join(names), lambda found: names[found[0]], svg)
