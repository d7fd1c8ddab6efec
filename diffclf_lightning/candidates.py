"""Candidates: the conditionings to choose among, and the label that each stands for.

A candidate is one conditioning: a class id, a prompt, or several prompts whose embeddings are
averaged. Several candidates may stand for one label: several prompts of a class, or the ImageNet
ids of an ObjectNet class.
"""

import warnings
from collections.abc import Collection, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from operator import index
from typing import SupportsIndex

from diffclf_lightning.classnames import class_ids
from diffclf_lightning.errors import InputError

Condition = int | str | tuple[str, ...]


@dataclass(frozen=True)
class Candidates:
    """Conditions and their labels.

    Args:
        conditions: Class ids, prompts, or tuples of prompts.
        labels: Label of each condition, from 0.

    Raises:
        InputError: If there are none, or not as many labels as conditions.

    Example:
        >>> Candidates(["a lion", "a tiger", "a big cat"], [0, 1, 1]).restrict([1]).conditions
        ('a tiger', 'a big cat')
    """

    conditions: Sequence[Condition]
    labels: Sequence[int]
    own_labels: Sequence[int] = field(init=False, repr=False, compare=False)
    """Label of each condition before labels of a set were merged."""
    classnames: Sequence[str] | None = field(default=None, init=False, repr=False, compare=False)
    """Class names in the order of these labels, where they are known."""

    def __post_init__(self) -> None:
        conditions = [index(c) if isinstance(c, SupportsIndex) else c for c in self.conditions]
        object.__setattr__(self, "conditions", tuple(conditions))
        try:
            object.__setattr__(self, "labels", tuple(index(label) for label in self.labels))
        except TypeError as error:
            raise InputError(
                "Expected argument `labels` to hold whole numbers, but got "
                f"{list(self.labels)[:5]}."
            ) from error
        if not self.conditions or len(self.conditions) != len(self.labels):
            raise InputError(
                "Expected at least one candidate, and as many `labels` as `conditions`, but got "
                f"{len(self.conditions)} conditions and {len(self.labels)} labels."
            )
        if min(self.labels) < 0:
            raise InputError(f"Expected `labels` from 0 up, but got {min(self.labels)}.")
        object.__setattr__(self, "own_labels", self.labels)

    def __len__(self) -> int:
        return len(self.conditions)

    @property
    def names(self) -> list[str]:
        """What each candidate is called in messages."""
        return [str(condition) for condition in self.conditions]

    @classmethod
    def from_class_ids(cls, num_classes: int) -> "Candidates":
        """One candidate a class: its id."""
        return cls(range(num_classes), range(num_classes))

    def called(self, classnames: Sequence[str] | None) -> "Candidates":
        """The same with class names in the order of labels, or None where there are none."""
        named = copy(self)
        object.__setattr__(named, "classnames", classnames)
        return named

    def of_labels(self, labels: Iterable[int]) -> list[Condition]:
        """The first condition of each of some labels.

        Raises:
            InputError: If a label has none.
        """
        first = dict(zip(reversed(self.labels), reversed(self.conditions), strict=True))
        wanted = list(labels)
        missing = [label for label in wanted if label not in first]
        if missing:
            raise InputError(
                f"Expected a model that knows class {missing[0]} of the data, but got one of "
                f"{len(first)} classes. Take a model of these classes, or give class names by "
                "which they can be matched (`classnames`)."
            )
        return [first[label] for label in wanted]

    def restrict(self, labels: Collection[int | Sequence[int]]) -> "Candidates":
        """The candidates of some labels only, in the same order.

        Args:
            labels: Labels that a test set covers, as :func:`merged_labels` takes them.

        Raises:
            InputError: If a label has no candidate, or stands in two entries.
        """
        merged = merged_labels(labels)
        missing = sorted(merged.keys() - set(self.labels))
        if missing:
            raise InputError(
                f"Expected a candidate for each of the {len(merged)} labels of the set, but "
                f"there is none for {missing[:5]}{' and more' if len(missing) > 5 else ''}. The "
                f"candidates cover labels {min(self.labels)} to {max(self.labels)}."
            )
        kept = [place for place, label in enumerate(self.labels) if label in merged]
        restricted = Candidates(
            [self.conditions[place] for place in kept],
            [merged[self.labels[place]] for place in kept],
        ).called(self.classnames)
        own = tuple(self.own_labels[place] for place in kept)
        object.__setattr__(restricted, "own_labels", own)
        return restricted


def model_classes(
    names: Sequence[str] | None, num_classes: int, known: Sequence[str] | None, by_position: bool
) -> Candidates:
    """The classes of a model that the labels of the data mean.

    Args:
        names: Class names of the data in the order of labels, or None where it has none: label
            ``i`` is then class ``i``.
        num_classes: Number of classes of the model.
        known: Their names, or None where it has none.
        by_position: Whether label ``i`` is class ``i`` whatever the names.

    Returns:
        One candidate a label.

    Raises:
        InputError: If a name means no class, or there are not as many classes as labels.
    """
    if names is None:
        return Candidates.from_class_ids(num_classes)
    if not by_position:
        try:
            ids = class_ids(names, known or [str(i) for i in range(num_classes)])
            return Candidates(ids, range(len(ids)))
        except InputError:
            if known is not None:
                raise
        warnings.warn(
            "The model has no class names: label i of the data is taken for class i of the model. "
            "Check the order, and say classes_by_position=true.",
            stacklevel=2,
        )
    if len(names) != num_classes:
        raise InputError(
            "Expected as many classes in the data as the model has, to match them by position, but "
            f"got {len(names)} names for {num_classes} classes. Take a model of these classes, or "
            "give its names for them in `classnames`."
        )
    if all(name.isdecimal() for name in names) and sorted(names, key=int) != list(names):
        place = next(i for i, name in enumerate(names) if int(name) != int(names[0]) + i)
        warnings.warn(
            f"Classes that are numbers are in the order of letters: label {place}, which is "
            f"class {place} of the model, is {names[place]!r}. If the model counts, fill them up "
            "with zeros (01, 02), or give `classnames` its names.",
            stacklevel=2,
        )
    return Candidates.from_class_ids(num_classes)


def merged_labels(labels: Iterable[int | Sequence[int]]) -> dict[int, int]:
    """The label that each label of a restricted set counts as.

    Args:
        labels: Labels; an entry that is a sequence merges its labels into the first of them (the
            1 to 3 ImageNet ids of an ObjectNet class).

    Returns:
        The label that each counts as, itself where it is not merged, by label.

    Raises:
        InputError: If a label stands in two entries.

    Example:
        >>> merged_labels([3, (5, 8)])
        {3: 3, 5: 5, 8: 5}
    """
    merged: dict[int, int] = {}
    for entry in labels:
        group = tuple(entry) if isinstance(entry, Sequence) else (entry,)
        for label in group:
            if label in merged:
                raise InputError(
                    f"Expected each label once among the candidate labels of a set, but got "
                    f"{label} in the groups of {merged[label]} and {group[0]}."
                )
            merged[int(label)] = int(group[0])
    return merged
