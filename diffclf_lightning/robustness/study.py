"""Comparisons: models against the baselines' line on one pair of test sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import (
    Accuracy,
    Band,
    Broken,
    Curve,
    Fit,
    Logit,
    Piece,
    Robustness,
    Scale,
    Straight,
    bootstrap_band,
    effective_robustness,
)
from diffclf_lightning.robustness.extremes import Extremes, LeaveOut, Point
from diffclf_lightning.robustness.models import Model, Table
from diffclf_lightning.robustness.pairs import Pair

MIN_R_SQUARED = 0.5
BAND_POINTS = 60


@dataclass(frozen=True)
class Settings:
    """How comparisons are made.

    Args:
        scale: Scale of both axes.
        extremes: What becomes of baselines with an accuracy of 0 or 1.
        min_r_squared: A line that explains less than this share is none: nothing is predicted.
        repeats: Resamples of the band.
        seed: Seed of the resampling.
    """

    scale: Scale = field(default_factory=Logit)
    extremes: Extremes = field(default_factory=LeaveOut)
    min_r_squared: float = MIN_R_SQUARED
    repeats: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Row:
    """A model on a pair.

    Args:
        model: Its name.
        id: In-distribution accuracy.
        ood: Out-of-distribution accuracy.
        robustness: Its effective robustness; none where nothing can be predicted.
        problem: Why not.
    """

    model: str
    id: Accuracy
    ood: Accuracy
    robustness: Robustness | None
    problem: str = ""


@dataclass(frozen=True)
class Comparison:
    """Models and baselines on a pair.

    Args:
        pair: The pair.
        source: Name of the table of baselines.
        scale: Scale of both axes.
        baselines: The baselines that were fitted.
        others: Models of the table that are no baselines, since they saw more than the
            in-distribution training set.
        fit: The fit; none where there is none.
        lines: Names of the fit's pieces that are lines indeed.
        bands: Bootstrap band of each line.
        rows: The models.
        notes: What a reader has to know.
        totals: Numbers of images of the models and of the baselines, by set, where they differ.
        problem: Why there is no fit.
    """

    pair: Pair
    source: str
    scale: Scale
    baselines: Sequence[Point]
    others: Sequence[Point]
    fit: Fit | None
    lines: Sequence[str]
    bands: dict[str, Band]
    rows: Sequence[Row]
    notes: Sequence[str]
    totals: Mapping[str, tuple[str, str]]
    problem: str = ""

    def lacks_line(self, row: Row) -> bool:
        """Whether there is a fit at a model, but one that explains too little."""
        return self.fit is not None and not _is_line(self.fit, self.lines, row.id.value)


def compare(
    pair: Pair, table: Table, models: Sequence[Model], settings: Settings | None = None
) -> Comparison:
    """Fit the baselines of a table on a pair, and compare models with them.

    Args:
        pair: The pair.
        table: The baselines.
        models: The models; those without both sets are passed over.
        settings: How it is done.

    Returns:
        The comparison; where the baselines do not give a line it says why.
    """
    settings = settings or Settings()
    measured = [(m, p) for m in table.models if (p := _point(m, pair)) is not None]
    points = [point for model, point in measured if model.standard]
    others = [point for model, point in measured if not model.standard]
    points, notes = _beside_the_break(points, pair)
    fit, problem = None, ""
    lines: list[str] = []
    bands: dict[str, Band] = {}
    try:
        if settings.scale.unbounded:
            points, said = settings.extremes(points)
            notes += said
        fit = _curve(pair, settings.scale).fit(
            [p.id.value for p in points], [p.ood.value for p in points]
        )
    except InputError as error:
        problem = str(error)
    if fit is not None:
        lines = [n for n, p in fit.pieces.items() if p.r_squared >= settings.min_r_squared]
        bands, said = _bands(fit, lines, points, settings)
        notes += said
    seen = [(m.name, p) for m in models if (p := _point(m, pair)) is not None]
    rows = [_row(name, point, fit, lines, problem) for name, point in seen]
    totals = _totals(points, [point for _, point in seen], pair)
    if any(r.robustness and not 0 <= r.robustness.predicted <= 1 for r in rows):
        notes.append(f"the {settings.scale.name} scale predicts accuracies outside of 0 to 100 %")
    return Comparison(
        pair=pair,
        source=table.name,
        scale=settings.scale,
        baselines=points,
        others=others,
        fit=fit,
        lines=lines,
        bands=bands,
        rows=rows,
        notes=notes,
        totals=totals,
        problem=problem,
    )


def _point(model: Model, pair: Pair) -> Point | None:
    id, ood = model.accuracies.get(pair.id), model.accuracies.get(pair.ood)
    if id is None or ood is None:
        return None
    return Point(model.name, model.family, id, ood)


def _curve(pair: Pair, scale: Scale) -> Curve:
    return Straight(scale) if pair.at is None else Broken(pair.at, scale)


def _beside_the_break(points: list[Point], pair: Pair) -> tuple[list[Point], list[str]]:
    at = [point.name for point in points if pair.is_break(point.id.value)]
    beside = [point for point in points if point.name not in at]
    return beside, [f"at the break itself, in neither line: {', '.join(at)}"] if at else []


def _row(name: str, point: Point, fit: Fit | None, lines: Sequence[str], problem: str) -> Row:
    if fit is None:
        return Row(name, point.id, point.ood, None, problem)
    if not _is_line(fit, lines, point.id.value):
        r_squared = fit.piece(point.id.value).r_squared
        return Row(name, point.id, point.ood, None, f"no line: R² {r_squared:.2f}")
    try:
        robustness = effective_robustness(fit, point.id, point.ood)
    except InputError:
        reason = f"{point.id.value:.0%} in distribution: infinite on the {fit.scale.name} scale"
        return Row(name, point.id, point.ood, None, reason)
    return Row(name, point.id, point.ood, robustness)


def _is_line(fit: Fit, lines: Sequence[str], id: float) -> bool:
    return any(fit.pieces[line] is fit.piece(id) for line in lines)


def _bands(
    fit: Fit, lines: Sequence[str], points: Sequence[Point], settings: Settings
) -> tuple[dict[str, Band], list[str]]:
    bands: dict[str, Band] = {}
    notes = []
    for name in lines:
        piece = fit.pieces[name]
        members = [point for point in points if fit.piece(point.id.value) is piece]
        try:
            bands[name] = bootstrap_band(
                Straight(settings.scale),
                [point.id.value for point in members],
                [point.ood.value for point in members],
                [point.family for point in members],
                _spread(piece, settings.scale),
                settings.repeats,
                settings.seed,
            )
        except InputError as error:
            notes.append(f"no band{f' {name} the break' if name else ''}: {error}")
            continue
        if bands[name].degenerate:
            notes.append(
                f"{bands[name].degenerate} of {settings.repeats} resamples gave no line and are "
                "not in the band"
            )
    return bands, notes


def _spread(piece: Piece, scale: Scale) -> list[float]:
    """In-distribution accuracies, even on the scale, over the range of the baselines."""
    low, high = scale([piece.lowest, piece.highest])
    accuracies: list[float] = scale.inverse(np.linspace(low, high, BAND_POINTS)).tolist()
    return accuracies


def _totals(
    baselines: Sequence[Point], models: Sequence[Point], pair: Pair
) -> dict[str, tuple[str, str]]:
    """Numbers of images, here and of the baselines, of the sets where they differ."""
    different = {}
    for name, axis in ((pair.id, "id"), (pair.ood, "ood")):
        known = [
            {getattr(p, axis).total for p in points} - {None} for points in (models, baselines)
        ]
        if all(known) and len(known[0] | known[1]) > 1:
            ours, theirs = (", ".join(f"{n:,}" for n in sorted(totals)) for totals in known)
            different[name] = (ours, theirs)
    return different
