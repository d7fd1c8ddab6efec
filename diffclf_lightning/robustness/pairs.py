"""Pairs of an in-distribution and an out-of-distribution test set, and whether they compare."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from diffclf_lightning.errors import InputError
from diffclf_lightning.robustness.tables import Model

DIGITS = "digits"
PAIR = re.compile(r"(?P<id>[^:@]+):(?P<ood>[^:@]+)(?:@(?P<at>\d*\.?\d+))?")


@dataclass(frozen=True)
class Pair:
    """Two test sets of the same task.

    ``id`` and ``ood`` name that in and that out of distribution; ``at`` is the in-distribution
    accuracy from 0 to 1 at which the line breaks. Defaults to None: one line.
    """

    id: str
    ood: str
    at: float | None = None

    def __str__(self) -> str:
        return f"{self.id}:{self.ood}" + ("" if self.at is None else f"@{100 * self.at:g}")

    @property
    def sets(self) -> set[str]:
        """Names of both sets."""
        return {self.id, self.ood}

    @classmethod
    def parse(cls, text: str) -> "Pair":
        """Read ``ID:OOD`` or ``ID:OOD@BREAK``, the break in percent (from 1) or as a fraction.

        A known pair that comes without a break has its known one.
        """
        found = PAIR.fullmatch(text)
        at = found["at"] if found else None
        value = None if at is None else float(at) / (100 if float(at) >= 1 else 1)
        if not found or found["id"] == found["ood"] or not (value is None or 0 < value < 1):
            raise InputError(
                f"Expected a pair of test sets as ID:OOD or ID:OOD@BREAK, for instance "
                f"imagenet_a_id:imagenet_a@91.86, but got {text!r}."
            )
        known = {(pair.id, pair.ood): pair.at for pair in KNOWN_PAIRS}
        sets = found["id"], found["ood"]
        return cls(*sets, known.get(sets) if value is None else value)


RESNET50_A = 0.9186
"""Accuracy of the ResNet-50 that selected ImageNet-A, on validation images of its 200 classes."""

KNOWN_PAIRS = {
    Pair("imagenet", "imagenetv2"): "ImageNet's 1000 classes",
    Pair("imagenet_a_id", "imagenet_a", RESNET50_A): "the 200 classes of ImageNet-A",
    Pair("imagenet_r_id", "imagenet_r"): "the 200 classes of ImageNet-R",
    Pair("imagenet", "imagenet_sketch"): "ImageNet's 1000 classes",
    Pair("imagenet_objectnet_id", "objectnet"): "the 113 classes of ObjectNet",
}
CLASSES = {name: classes for pair, classes in KNOWN_PAIRS.items() for name in pair.sets}


def known_pairs(sets: Iterable[str]) -> list[Pair]:
    """The pairs that some test sets make: ImageNet and its shifts, the digits and theirs."""
    names = list(sets)
    pairs = [pair for pair in KNOWN_PAIRS if pair.sets <= set(names)]
    if DIGITS in names:
        pairs += [Pair(DIGITS, name) for name in names if name not in {*CLASSES, DIGITS}]
    return pairs


def check_classes(pair: Pair, models: Iterable[Model], *, allowed: bool = False) -> list[str]:
    """Refuse, or note if allowed, a pair of sets of other classes: 200 are easier than 1000."""
    found = [
        f"{model.name} chose among other classes on either"
        for model in models
        if pair.sets <= model.candidates.keys()
        and model.candidates[pair.id] != model.candidates[pair.ood]
    ]
    classes = [CLASSES[name] for name in (pair.id, pair.ood) if name in CLASSES]
    if len({*classes}) == 2:
        found.append(" against ".join(classes))
    if not found:
        return []
    if allowed:
        return [f"of other classes, so not the accuracies of one task: {found[0]}"]
    right = next((known.id for known in KNOWN_PAIRS if known.ood == pair.ood), pair.id)
    remedy = f"Pair {pair.ood} with {right}" if right != pair.id else "Pair sets of one task"
    raise InputError(
        f"Expected an in-distribution set with the classes of {pair.ood!r}, but got {pair.id!r}: "
        f"{found[0]}. {remedy}, or give --allow-other-classes, and say so beside every figure."
    )
