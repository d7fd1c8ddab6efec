"""Where models and baselines come from: folders of runs, shipped tables, CSV files."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from diffclf_lightning.errors import InputError
from diffclf_lightning.robustness.models import Model, Table, check_same_images, first_repeated
from diffclf_lightning.robustness.pairs import (
    Pair,
    class_mismatch,
    known_pairs,
    other_classes_error,
)
from diffclf_lightning.robustness.runs import read_run, read_run_by_loss
from diffclf_lightning.robustness.study import Comparison, Settings, compare
from diffclf_lightning.robustness.tables import read_table

DEFAULT_BASELINES = ("testbed", "timm", "digits")
RUNS = "runs"
"""Name of the table that finished runs make together."""


def read_models(sources: Sequence[str], *, other_losses: bool = False) -> list[Model]:
    """Models to compare.

    Args:
        sources: Folders of finished runs, CSV files or names of shipped tables. Folders that hold
            comparisons alone are passed over.
        other_losses: Whether a run is there once more for each of its other losses.

    Returns:
        The models.

    Raises:
        InputError: If a source is none of these, or two models have one name.
    """
    models: list[Model] = []
    for source in sources:
        folder = Path(source)
        if folder.is_dir() and not _is_comparison(folder):
            models += read_run_by_loss(folder) if other_losses else [read_run(folder)]
        elif not folder.is_dir():
            models += read_table(source).models
    twice = first_repeated(model.name for model in models)
    if twice is not None:
        raise InputError(
            f"Expected models of different names, but got {twice!r} twice. Rename a folder, or "
            "name each once."
        )
    return models


def read_baselines(sources: Sequence[str]) -> list[Table]:
    """Tables of baselines.

    Args:
        sources: Names of shipped tables, CSV files, or folders of finished runs, which together
            make one table.

    Returns:
        The tables.

    Raises:
        InputError: If a source is none of these, two tables have one name, or two runs have the
            same weights.
    """
    folders = [source for source in sources if Path(source).is_dir()]
    tables = [read_table(source) for source in sources if source not in folders]
    if folders:
        tables.append(Table(RUNS, _independent(read_models(folders))))
    twice = first_repeated(table.name for table in tables)
    if twice is not None:
        raise InputError(
            f"Expected tables of baselines of different names, but got {twice!r} twice. Rename a "
            "file, or name each once."
        )
    return tables


def compare_all(
    models: Sequence[Model],
    tables: Sequence[Table],
    pairs: Sequence[Pair] = (),
    settings: Settings | None = None,
    *,
    other_classes: bool = False,
) -> list[Comparison]:
    """Every pair of every table that has it, with the models that have it.

    Args:
        models: The models; the lines alone when none.
        tables: The baselines.
        pairs: The pairs; those that are known when none are given.
        settings: How comparisons are made.
        other_classes: Whether an in-distribution set of other classes is allowed.

    Returns:
        The comparisons that at least one model (or, without models, a baseline) takes part in.

    Raises:
        InputError: If images or classes of models differ, nothing can be compared, or no pair
            gives a line.
    """
    of_runs = [model for table in tables for model in table.models if model.images]
    comparisons = []
    for table in tables:
        for pair in pairs or known_pairs(table.sets):
            taking_part = [m for m in models if {pair.id, pair.ood} <= m.accuracies.keys()]
            if not {pair.id, pair.ood} <= set(table.sets) or (models and not taking_part):
                continue
            check_same_images([*taking_part, *of_runs], (pair.id, pair.ood))
            mismatch = class_mismatch(pair, [*taking_part, *of_runs])
            if mismatch is not None and not other_classes:
                raise other_classes_error(pair, mismatch)
            comparison = compare(pair, table, taking_part, settings)
            notes = [*comparison.notes, *_own_baselines(table, taking_part)]
            if mismatch is not None:
                notes.append(f"of other classes, so not the accuracies of one task: {mismatch}")
            comparisons.append(replace(comparison, notes=notes))
    if not comparisons:
        raise InputError(
            f"Expected models and baselines with both sets of a pair, but got none for "
            f"{', '.join(map(str, pairs)) or 'any known pair'}. Models have the sets "
            f"{_names(s for m in models for s in m.accuracies)}; baselines "
            f"{_names(s for t in tables for s in t.sets)}. Give --pairs ID:OOD and --baselines."
        )
    if all(comparison.fit is None for comparison in comparisons):
        raise InputError(comparisons[0].problem)
    return comparisons


def _independent(models: list[Model]) -> list[Model]:
    """The models, of which no two may have the same weights: they would count twice."""
    first: dict[str, str] = {}
    for model in models:
        if model.weights is None:
            continue
        other = first.setdefault(model.weights, model.name)
        if other != model.name:
            raise InputError(
                f"Expected baselines of different weights, but {other} and {model.name} have the "
                "same: they are one baseline. Name one of them."
            )
    return models


def _own_baselines(table: Table, models: Sequence[Model]) -> list[str]:
    """A note on the models that are themselves among the baselines."""
    weights = {model.weights for model in table.models if model.standard} - {None}
    own = [model.name for model in models if model.weights in weights or model in table.models]
    return [f"among the baselines of its own line: {', '.join(own)}"] if own else []


def _is_comparison(folder: Path) -> bool:
    return (folder / "robustness.json").is_file() and not (folder / "summary.json").is_file()


def _names(sets: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(sets)) or "none"
