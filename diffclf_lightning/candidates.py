"""Candidates: the conditionings to choose among, and the label that each stands for.

A candidate is one conditioning, a class id or a prompt. Several may stand for one label: several
prompts of a class, or the ImageNet ids of an ObjectNet class.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from diffclf_lightning.errors import InputError


@dataclass(frozen=True)
class Candidates:
    """Conditions and their labels.

    Args:
        conditions: Class ids or prompts.
        labels: Label of each condition, from 0.

    Raises:
        InputError: If there are none, or not as many labels as conditions.

    Example:
        >>> cats = Candidates.from_template("a photo of a {}.", ["lion", "tiger"])
        >>> cats.conditions
        ('a photo of a lion.', 'a photo of a tiger.')
        >>> cats.restrict([1]).labels
        (1,)
    """

    conditions: Sequence[int | str]
    labels: Sequence[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))
        object.__setattr__(self, "labels", tuple(self.labels))
        if not self.conditions or len(self.conditions) != len(self.labels):
            raise InputError(
                "Expected at least one candidate, and as many `labels` as `conditions`, but got "
                f"{len(self.conditions)} conditions and {len(self.labels)} labels."
            )
        if min(self.labels) < 0:
            raise InputError(f"Expected `labels` from 0 up, but got {min(self.labels)}.")

    def __len__(self) -> int:
        return len(self.conditions)

    @property
    def names(self) -> list[str]:
        """What each candidate is called in messages."""
        return [str(condition) for condition in self.conditions]

    @classmethod
    def from_class_ids(cls, num_classes: int) -> "Candidates":
        """One candidate a class: its id.

        Args:
            num_classes: Number of classes.

        Returns:
            The candidates.
        """
        return cls(range(num_classes), range(num_classes))

    @classmethod
    def from_template(
        cls, template: str | Iterable[str], classnames: Sequence[str]
    ) -> "Candidates":
        """One prompt a class and template.

        Args:
            template: One or several templates, with ``{}`` for the class name.
            classnames: Class names in the order of labels.

        Returns:
            The candidates; those of several templates share their class's label.

        Raises:
            InputError: If a template has no place for the name.
        """
        templates = [template] if isinstance(template, str) else list(template)
        for text in templates:
            if text.count("{}") != 1:
                raise InputError(
                    "Expected argument `template` to have one place {} for the class name, but got "
                    f"{text!r}. Write for instance 'a photo of a {{}}.'."
                )
        prompts = [t.replace("{}", name) for name in classnames for t in templates]
        return cls(prompts, [i for i in range(len(classnames)) for _ in templates])

    def restrict(self, labels: Collection[int]) -> "Candidates":
        """The candidates of some labels only.

        Args:
            labels: Labels that a test set covers.

        Returns:
            The remaining candidates, in the same order.

        Raises:
            InputError: If a label has no candidate.
        """
        missing = sorted(set(labels) - set(self.labels))
        if missing:
            raise InputError(
                f"Expected a candidate for each of the {len(set(labels))} labels of the set, but "
                f"there is none for {missing[:5]}{' and more' if len(missing) > 5 else ''}. The "
                f"candidates cover labels {min(self.labels)} to {max(self.labels)}."
            )
        kept = [i for i, label in enumerate(self.labels) if label in set(labels)]
        return Candidates([self.conditions[i] for i in kept], [self.labels[i] for i in kept])
