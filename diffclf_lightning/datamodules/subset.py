"""Class-balanced subsets that depend on file names and a seed alone."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from diffclf_lightning.errors import InputError


def balanced_subset(
    names: Sequence[str], labels: Sequence[int], size: int, seed: int = 0
) -> list[int]:
    """Choose images so that every class has as many as every other, or one more.

    A smaller subset is a part of a larger one. A class with too few images leaves its places to the
    others.

    Args:
        names: Name of each image.
        labels: Label of each image.
        size: Number of images to choose.
        seed: Chooses among the subsets.

    Returns:
        Positions of the chosen images, ascending; all positions when there are fewer images.
    """
    return sorted(balanced_order(names, labels, seed)[:size])


def balanced_order(names: Sequence[str], labels: Sequence[int], seed: int = 0) -> list[int]:
    """An order of images of which every beginning has as many of each class as there can be.

    Within its class an image ranks by a hash of the seed and its name. Images are taken rank by
    rank, and within a rank by the same hash, so that no number generator, no order of files and no
    machine enters.

    Args:
        names: Name of each image.
        labels: Label of each image.
        seed: Chooses among the orders.

    Returns:
        All positions.
    """
    classes = defaultdict(list)
    for index, (name, label) in enumerate(zip(names, labels, strict=True)):
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        classes[label].append((digest, index))
    ranked = [
        (rank, digest, index)
        for members in classes.values()
        for rank, (digest, index) in enumerate(sorted(members))
    ]
    return [index for _, _, index in sorted(ranked)]


def few_shot(names: Sequence[str], labels: Sequence[int], shots: int, seed: int = 0) -> list[int]:
    """Choose as many images of each class, as :func:`balanced_subset` does.

    Args:
        names: Name of each image.
        labels: Label of each image.
        shots: Number of images of each class.
        seed: Chooses among the subsets.

    Returns:
        Positions of the chosen images, ascending.

    Raises:
        InputError: If there are none to choose, or a class has too few.
    """
    fewest, label = min((labels.count(label), label) for label in set(labels))
    if not 1 <= shots <= fewest:
        raise InputError(
            f"Expected argument `shots` to be from 1 to {fewest}, the number of images to train on "
            f"of class {label}, but got {shots}."
        )
    return balanced_subset(names, labels, shots * len(set(labels)), seed)
