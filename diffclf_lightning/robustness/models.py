"""Models with their accuracies by test set, from finished runs or tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Accuracy

Candidates = tuple[Any, ...] | None
"""Labels among which a set chooses, as its data set gives them; all when none."""


@dataclass(frozen=True)
class Model:
    """A model and what it scored.

    Args:
        name: What it is called.
        family: What it has in common with models that are not independent of it.
        accuracies: Accuracy by test set.
        standard: Whether it was trained on the in-distribution training set alone, so that it may
            stand among the baselines.
        images: Names of the images by test set, where they are known.
        candidates: Candidate labels by test set, where they are known.
        weights: A short name of its weights, where it is known.
    """

    name: str
    family: str
    accuracies: Mapping[str, Accuracy]
    standard: bool = True
    images: Mapping[str, frozenset[str]] = field(default_factory=dict)
    candidates: Mapping[str, Candidates] = field(default_factory=dict)
    weights: str | None = None


@dataclass(frozen=True)
class Table:
    """Models of one source, whose lines are fitted together.

    Args:
        name: What the source is called.
        models: The models.
    """

    name: str
    models: Sequence[Model]

    @property
    def sets(self) -> list[str]:
        """Test sets of which at least one model has an accuracy, in the order of the models."""
        return list(dict.fromkeys(name for model in self.models for name in model.accuracies))


def check_same_images(models: Iterable[Model], sets: Sequence[str]) -> None:
    """Refuse models that were measured on different images of a set.

    Args:
        models: The models; those whose images are not known are passed over.
        sets: The sets to look at.

    Raises:
        InputError: If the images of a set differ.
    """
    first: dict[str, Model] = {}
    for model in models:
        for name in [name for name in sets if name in model.images]:
            images = model.images[name]
            other = first.setdefault(name, model)
            if other.images[name] != images:
                common = len(other.images[name] & images)
                raise InputError(
                    f"Expected the same images of {name!r} in all runs, but got "
                    f"{len(other.images[name])} in {other.name} and {len(images)} in "
                    f"{model.name}, {common} of them in both. Run both on the same images (the "
                    "same `subset` and `seed` of the data)."
                )


def first_repeated(names: Iterable[str]) -> str | None:
    """The first name that stands there more than once, if any.

    Args:
        names: The names.

    Returns:
        The name.
    """
    return next((name for name, count in Counter(names).items() if count > 1), None)
