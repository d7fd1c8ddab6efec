"""Runs of one model on other sets, joined: one that is tested on a set at a time has several."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import chain
from typing import Any

from diffclf_lightning.robustness.tables import Model, first_repeated

SEPARATOR = "__"
"""Between model and data in the names of a sweep's runs."""


def join(models: Sequence[Model]) -> list[Model]:
    """Make one model of those whose runs agree in all that decides results but the sets.

    Sets of one name in several of these runs are called after the runs instead: ``SET`` in a run
    ``MODEL__SET``, else the whole name. What still repeats is left as it is, each run a model.

    Args:
        models: Models, of which those of runs say what decided their results.

    Returns:
        The models, in their order.
    """
    groups: dict[str, list[Model]] = {}
    for place, model in enumerate(models):
        groups.setdefault(str(place) if model.decided is None else model.decided, []).append(model)
    return [model for group in groups.values() for model in _joined(group)]


def _joined(group: list[Model]) -> list[Model]:
    parts = group
    if _repeats(parts) and all(len(model.accuracies) == 1 for model in parts):
        parts = [_renamed(model, model.name.rpartition(SEPARATOR)[2]) for model in parts]
    if len(parts) == 1 or _repeats(parts):
        return group
    names = list(dict.fromkeys(model.name.partition(SEPARATOR)[0] for model in parts))
    return [
        replace(
            parts[0],
            name=" + ".join(names),
            accuracies=_union([model.accuracies for model in parts]),
            images=_union([model.images for model in parts]),
            correct=_union([model.correct for model in parts]),
            candidates=_union([model.candidates for model in parts]),
        )
    ]


def _repeats(models: Sequence[Model]) -> bool:
    return first_repeated(chain.from_iterable(model.accuracies for model in models)) is not None


def _renamed(model: Model, name: str) -> Model:
    """The model with its one set called by another name."""
    (old,) = model.accuracies

    def under(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values[old]} if old in values else {}

    return replace(
        model,
        accuracies=under(model.accuracies),
        images=under(model.images),
        correct=under(model.correct),
        candidates=under(model.candidates),
    )


def _union(mappings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return reduce(lambda one, other: {**one, **other}, mappings, {})
