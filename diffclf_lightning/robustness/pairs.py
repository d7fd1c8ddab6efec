"""Pairs of an in-distribution and an out-of-distribution test set."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics.fits import SAME
from diffclf_lightning.robustness.models import Model

DIGITS = "digits"


@dataclass(frozen=True)
class Pair:
    """Two test sets of the same task.

    Args:
        id: Name of the in-distribution set.
        ood: Name of the out-of-distribution set.
        at: In-distribution accuracy from 0 to 1 at which the line breaks; one line when none.
    """

    id: str
    ood: str
    at: float | None = None

    def __str__(self) -> str:
        return f"{self.id}:{self.ood}" + ("" if self.at is None else f"@{100 * self.at:g}")

    @classmethod
    def parse(cls, text: str) -> "Pair":
        """Read ``ID:OOD`` or ``ID:OOD@BREAK``, the break in percent (from 1) or as a fraction.

        Args:
            text: The pair.

        Returns:
            The pair; where none is said, that of a known pair has its known break.

        Raises:
            InputError: If it is something else.
        """
        sets, marked, at = text.partition("@")
        id, colon, ood = sets.partition(":")
        try:
            value = float(at) if marked else None
        except ValueError:
            value = -1.0
        if value is not None and value >= 1:
            value /= 100
        if not (colon and id and ood and id != ood) or not (value is None or 0 < value < 1):
            raise InputError(
                f"Expected a pair of test sets as ID:OOD or ID:OOD@BREAK, for instance "
                f"imagenet_a_id:imagenet_a@91.86, but got {text!r}."
            )
        if value is None:
            known = {(pair.id, pair.ood): pair.at for pair in KNOWN_PAIRS}
            return cls(id, ood, known.get((id, ood)))
        return cls(id, ood, value)

    def is_break(self, id: float) -> bool:
        """Whether an in-distribution accuracy is the break itself, where no line is."""
        return self.at is not None and abs(id - self.at) <= SAME


RESNET50_A = 0.9186
"""Accuracy of the ResNet-50 that selected ImageNet-A, on validation images of its 200 classes."""

KNOWN_PAIRS = (
    Pair("imagenet", "imagenetv2"),
    Pair("imagenet_a_id", "imagenet_a", RESNET50_A),
    Pair("imagenet_r_id", "imagenet_r"),
    Pair("imagenet", "imagenet_sketch"),
    Pair("imagenet_objectnet_id", "objectnet"),
)

CLASSES = {
    **dict.fromkeys(("imagenet", "imagenetv2", "imagenet_sketch"), "ImageNet's 1000 classes"),
    **dict.fromkeys(("imagenet_a_id", "imagenet_a"), "the 200 classes of ImageNet-A"),
    **dict.fromkeys(("imagenet_r_id", "imagenet_r"), "the 200 classes of ImageNet-R"),
    **dict.fromkeys(("imagenet_objectnet_id", "objectnet"), "the 113 classes of ObjectNet"),
}


def known_pairs(sets: Iterable[str]) -> list[Pair]:
    """The pairs that some test sets make: ImageNet and its shifts, the digits and theirs.

    Args:
        sets: Names of test sets, in the order in which pairs of digits are to come.

    Returns:
        The pairs.
    """
    names = list(sets)
    of_imagenet = [pair for pair in KNOWN_PAIRS if {pair.id, pair.ood} <= set(names)]
    imagenet = {name for pair in KNOWN_PAIRS for name in (pair.id, pair.ood)}
    others = [name for name in names if name not in {*imagenet, DIGITS}]
    return of_imagenet + [Pair(DIGITS, name) for name in others if DIGITS in names]


def class_mismatch(pair: Pair, models: Iterable[Model]) -> str | None:
    """In what the classes of a pair's sets differ, if they do.

    Accuracies among other classes cannot be compared: 200 classes are easier than 1000.

    Args:
        pair: The pair.
        models: Models whose candidates may tell.

    Returns:
        What differs.
    """
    for model in models:
        candidates: Mapping[str, object] = model.candidates
        if {pair.id, pair.ood} <= candidates.keys() and candidates[pair.id] != candidates[pair.ood]:
            return f"{model.name} chose among other classes on either"
    if {pair.id, pair.ood} <= CLASSES.keys() and CLASSES[pair.id] != CLASSES[pair.ood]:
        return f"{CLASSES[pair.id]} against {CLASSES[pair.ood]}"
    return None


def other_classes_error(pair: Pair, found: str) -> InputError:
    """The error for a pair whose sets are not of one task.

    Args:
        pair: The pair.
        found: From :func:`class_mismatch`.

    Returns:
        The error, with the in-distribution set that belongs to the other.
    """
    right = next((known.id for known in KNOWN_PAIRS if known.ood == pair.ood), pair.id)
    remedy = f"Pair {pair.ood} with {right}" if right != pair.id else "Pair sets of one task"
    return InputError(
        f"Expected an in-distribution set with the classes of {pair.ood!r}, but got {pair.id!r}: "
        f"{found}. {remedy}, or give --allow-other-classes, and say so beside every figure."
    )
