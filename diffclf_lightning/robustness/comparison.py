"""Comparisons: models against the baselines' line on one pair of test sets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.robustness.images import check_same_images, on_common_images
from diffclf_lightning.robustness.lines import (
    REPEATS,
    SAME,
    Band,
    Fit,
    Line,
    PiecewiseLinear,
    Robustness,
    effective_robustness,
)
from diffclf_lightning.robustness.pairs import Pair, check_classes, known_pairs
from diffclf_lightning.robustness.scales import LOGIT, Scale
from diffclf_lightning.robustness.tables import Model, Table


@dataclass(frozen=True)
class Settings:
    """How comparisons are made.

    Args:
        scale: Scale of both axes.
        min_r_squared: A line that explains less than this share is none: nothing is predicted.
    """

    scale: Scale = LOGIT
    min_r_squared: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.min_r_squared <= 1:
            raise InputError(
                "Expected argument `min_r_squared` (--min-r2) to be from 0 to 1, but got "
                f"{self.min_r_squared}."
            )

    def is_line(self, piece: Line) -> bool:
        """Whether a piece of a fit explains enough to predict from it."""
        return piece.r_squared >= self.min_r_squared


DEFAULT = Settings()
NONE = Table("none", [])
"""Baselines of pairs that no baseline has."""
GROUPED = "{:,}".format


@dataclass(frozen=True)
class Point:
    """A model of the given name and family on the two axes of a pair."""

    name: str
    family: str
    id: Accuracy
    ood: Accuracy

    @property
    def drop(self) -> float:
        """Accuracy in distribution less that out of it."""
        return self.id.value - self.ood.value

    def is_finite(self, scale: Scale) -> bool:
        """Whether a scale has a finite place for it."""
        return bool(scale.is_finite([self.id.value, self.ood.value]).all())


def finite_points(points: Sequence[Point], scale: Scale) -> list[Point]:
    """Those that have a finite place on both axes."""
    values = np.array([(point.id.value, point.ood.value) for point in points]).reshape(-1, 2)
    finite = np.asarray(scale.is_finite(values).all(axis=1))
    return [point for point, is_finite in zip(points, finite, strict=True) if is_finite]


@dataclass(frozen=True)
class Row(Point):
    """A model that is compared, and the line of the baselines at its accuracy, if there is a fit.

    Where it has no effective robustness, ``problem`` says why.
    """

    line: Line | None = None
    robustness: Robustness | None = None
    problem: str = ""


@dataclass(frozen=True)
class Comparison:
    """Models, in ``rows``, and the ``baselines`` of a table on a pair.

    ``others`` are models of the table that saw more than the in-distribution training set;
    ``bands`` the bootstrap bands by the name of the fit's piece; ``notes`` what a reader has to
    know; ``problem`` why there is no fit.
    """

    pair: Pair
    source: str
    settings: Settings
    baselines: Sequence[Point]
    others: Sequence[Point]
    fit: Fit | None
    bands: Mapping[str, Band]
    rows: Sequence[Row]
    notes: Sequence[str]
    problem: str

    @property
    def pieces(self) -> dict[str, Line]:
        """The lines of the fit by name, whatever they explain; empty where there is no fit."""
        return {} if self.fit is None else self.fit.pieces

    @property
    def totals(self) -> dict[str, tuple[str, str]]:
        """Numbers of images of the models and of the baselines, by set, where they differ."""
        different = {}
        for axis, name in (("id", self.pair.id), ("ood", self.pair.ood)):
            ours, theirs = (
                sorted({getattr(point, axis).total for point in points} - {None})
                for points in (self.rows, self.baselines)
            )
            if ours and theirs and len({*ours, *theirs}) > 1:
                different[name] = ", ".join(map(GROUPED, ours)), ", ".join(map(GROUPED, theirs))
        return different


def compare(
    pair: Pair, table: Table, models: Sequence[Model], settings: Settings = DEFAULT
) -> Comparison:
    """Fit the baselines of a table on a pair, and compare models with them or say why not.

    Baselines with an infinite accuracy on the scale, and those at the break, are left out and
    named; models without both sets are passed over.
    """
    scale, notes = settings.scale, list[str]()
    points = _points([model for model in table.models if model.standard], pair)
    off_break = [p for p in points if pair.at is None or abs(p.id.value - pair.at) > SAME]
    points = _without(points, off_break, "at the break itself, in neither line", notes)
    finite = finite_points(points, scale)
    points = _without(points, finite, "left out, with an accuracy of 0 or 1", notes)
    fit, bands, problem = None, {}, ""
    try:
        id, ood = [point.id.value for point in points], [point.ood.value for point in points]
        fit = Line(id, ood, scale) if pair.at is None else PiecewiseLinear(id, ood, pair.at, scale)
        bands = _bands(fit, points, settings, notes)
    except InputError as error:
        problem = str(error)
    rows = [_row(point, fit, settings, problem) for point in _points(models, pair)]
    if any(r.robustness and not 0 <= r.robustness.predicted <= 1 for r in rows):
        notes.append(f"the {scale.name} scale predicts accuracies outside of 0 to 100 %")
    weights = {model.weights for model in table.models if model.standard} - {None}
    baselines = {model.name: model for model in table.models}
    own = [m.name for m in models if m.weights in weights or baselines.get(m.name) == m]
    if own:
        notes.append(f"among the baselines of its own line: {', '.join(own)}")
    return Comparison(
        pair=pair, source=table.name, settings=settings, baselines=points,
        others=_points([model for model in table.models if not model.standard], pair),
        fit=fit, bands=bands, rows=rows, notes=notes, problem=problem,
    )  # fmt: skip


def compare_all(
    models: Sequence[Model],
    tables: Sequence[Table],
    pairs: Sequence[Pair] = (),
    settings: Settings = DEFAULT,
    *,
    other_classes: bool = False,
    common: bool = False,
    without_line: bool = False,
) -> list[Comparison]:
    """Compare on every pair that a table and a model (or, without models, a table) has.

    ``pairs`` defaults to those that are known; ``other_classes`` allows sets of other classes;
    ``common`` takes the images that all runs of a pair have in common; ``without_line`` compares
    models on given pairs also where the baselines are too few for a line.

    Raises:
        InputError: If images or classes of models differ, nothing can be compared, or no pair
            gives a line.
    """
    of_runs = [model for table in tables for model in table.models if model.images]
    known = {name for table in tables for name in table.sets}
    unknown = [pair for pair in pairs if without_line and not pair.sets <= known]
    comparisons = []
    for table in [*tables, *([NONE] if unknown else [])]:
        for pair in unknown if table is NONE else pairs or known_pairs(table.sets):
            taking_part = [model for model in models if pair.sets <= model.accuracies.keys()]
            has_both = table is NONE or pair.sets <= set(table.sets)
            if not has_both or not (taking_part or (not models and table is not NONE)):
                continue
            measured, said = [*taking_part, *of_runs], list[str]()
            if common:
                measured, said = on_common_images(pair, measured)
            check_same_images(pair, measured)
            said += check_classes(pair, measured, allowed=other_classes)
            runs = dict(zip(map(id, of_runs), measured[len(taking_part) :], strict=True))
            baselines = replace(table, models=[runs.get(id(m), m) for m in table.models])
            made = compare(pair, baselines, measured[: len(taking_part)], settings)
            comparisons.append(replace(made, notes=[*made.notes, *said]))
    if not comparisons:
        raise InputError(
            f"Expected models and baselines with both sets of a pair, but got none for "
            f"{', '.join(map(str, pairs)) or 'any known pair'}. Models have the sets "
            f"{', '.join(Table('', models).sets) or 'none'}; baselines "
            f"{', '.join(dict.fromkeys(name for table in tables for name in table.sets)) or 'none'}"
            ". Give --pairs ID:OOD and --baselines."
        )
    shown = without_line and any(comparison.rows for comparison in comparisons)
    if not shown and all(comparison.fit is None for comparison in comparisons):
        raise InputError(comparisons[0].problem)
    return comparisons


def _points(models: Iterable[Model], pair: Pair) -> list[Point]:
    return [
        Point(model.name, model.family, model.accuracies[pair.id], model.accuracies[pair.ood])
        for model in models
        if pair.sets <= model.accuracies.keys()
    ]


def _without(points: list[Point], kept: list[Point], why: str, notes: list[str]) -> list[Point]:
    """The points that are kept; a note names the others."""
    if len(kept) < len(points):
        names = {point.name for point in kept}
        out = [point.name for point in points if point.name not in names]
        more = f" and {len(out) - 3} more" if len(out) > 3 else ""
        notes.append(f"{why}: {', '.join(out[:3])}{more}")
    return kept


def _bands(
    fit: Fit, points: Sequence[Point], settings: Settings, notes: list[str]
) -> dict[str, Band]:
    bands = {}
    for name, line in fit.pieces.items():
        families = [point.family for point in points if fit.piece(point.id.value) is line]
        if settings.is_line(line):
            try:
                bands[name] = line.band(families)
            except InputError as error:
                notes.append(f"no band{f' {name} the break' if name else ''}: {error}")
    left_out = [band.degenerate for band in bands.values() if band.degenerate]
    notes += [f"{n} of {REPEATS} resamples gave no line and are not in the band" for n in left_out]
    return bands


def _row(point: Point, fit: Fit | None, settings: Settings, problem: str) -> Row:
    line = None if fit is None else fit.piece(point.id.value)
    robustness, scale = None, settings.scale
    if line is not None and not settings.is_line(line):
        problem = f"no line: R² {line.r_squared:.2f}"
    elif line is not None and not scale.is_finite(point.id.value):
        problem = f"{point.id.value:.0%} in distribution: infinite on the {scale.name} scale"
    elif line is not None:
        robustness = effective_robustness(line, point.id, point.ood)
    return Row(point.name, point.family, point.id, point.ood, line, robustness, problem)
