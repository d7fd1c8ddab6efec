"""Splits of a user's own images: their names, and seeded shares of what has no split."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What a split may be called in folders and tables, in letters of either case."""


def split_of(name: str) -> str | None:
    """The split that a folder or a cell of this name is, or None."""
    return next((split for split, names in SPLITS.items() if name.lower() in names), None)


def seeded_splits(
    names: Sequence[str], labels: Sequence[int], val: float, test: float, seed: int
) -> list[str]:
    """Hold out shares of some images.

    A hash of the seed and its name decides where an image belongs, so that no order of files and
    no machine enters, images that are added move no other, and images of the same names in another
    folder are split in the same way. Which images validate does not depend on the share to test.
    Where a class has two images or more (three with both shares), one at least is held out for
    each, and one is left.

    Args:
        names: Name of each image.
        labels: Label of each image.
        val: Share to validate on, in [0, 1).
        test: Share to test on, in [0, 1).
        seed: Chooses among the splits.

    Returns:
        ``"train"``, ``"val"`` or ``"test"`` for each image.
    """
    places = [_unit(f"{seed}/{name}") for name in names]
    splits = ["val" if p < val else "test" if p >= 1 - test else "train" for p in places]
    classes: dict[int, list[int]] = defaultdict(list)
    for index in sorted(range(len(names)), key=lambda i: (places[i], names[i])):
        classes[labels[index]].append(index)
    for members in classes.values():
        if val and len(members) > 1:
            splits[members[0]] = "val"
        if test and len(members) > 1 + (val > 0):
            splits[members[-1]] = "test"
        if all(splits[index] != "train" for index in members):
            splits[members[len(members) // 2]] = "train"
    return splits


def _unit(name: str) -> float:
    """A number in [0, 1) that a name alone decides."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48
