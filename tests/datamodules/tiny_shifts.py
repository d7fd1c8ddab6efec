"""A tiny copy of ImageNet and its shifts below one root, and what its nine sets have to be."""

import random
import warnings
from pathlib import Path
from typing import Any

from tiny_files import Tiny
from tiny_imagenet import (
    A_LABELS,
    R_LABELS,
    imagenet_a,
    imagenet_flat,
    imagenet_folders,
    imagenet_r,
    imagenet_sketch,
    imagenetv2,
    objectnet,
)

from diffclf_lightning.datamodules import ImageNetShifts, ImageSet

NAMES = [
    "imagenet",
    "imagenetv2",
    "imagenet_a_id",
    "imagenet_a",
    "imagenet_r_id",
    "imagenet_r",
    "imagenet_sketch",
    "imagenet_objectnet_id",
    "objectnet",
]
ID_SETS = ["imagenet_a_id", "imagenet_r_id", "imagenet_objectnet_id"]


def imagenet_and_shifts(root: Path, rng: random.Random, flat: bool = False) -> dict[str, Tiny]:
    """All seven sets below one root; the validation images are of classes of every shift."""
    tinies = {
        writer.__name__: writer(root, rng)
        for writer in (imagenet_a, imagenet_r, imagenet_sketch, imagenetv2, objectnet)
    }
    groups = list(tinies["objectnet"].groups.values())
    several = [label for group in groups if len(group) > 1 for label in group]
    single = [group[0] for group in groups if len(group) == 1]
    classes = {*several, *rng.sample(single, 3), *rng.sample(A_LABELS, 3), *rng.sample(R_LABELS, 3)}
    covered = {*A_LABELS, *R_LABELS, *several, *single}
    classes |= set(rng.sample(sorted(set(range(1000)) - covered), 4))
    labels = [label for label in classes for _ in range(3)]
    rng.shuffle(labels)
    writer = imagenet_flat if flat else imagenet_folders
    return {"imagenet": writer(root, rng, labels=labels), **tinies}


def read(
    root: Path, names: list[str] = NAMES, subset: int | None = None, **kwargs: Any
) -> dict[str, ImageSet]:
    with warnings.catch_warnings(action="ignore"):
        return ImageNetShifts(root, names, subset, **kwargs).test_sets()


def first_of_group(tinies: dict[str, Tiny]) -> dict[int, int]:
    """The smallest ImageNet class of each object, by ImageNet class."""
    return {label: min(own) for own in tinies["objectnet"].groups.values() for label in own}


def truth(tinies: dict[str, Tiny], name: str) -> dict[str, tuple[int, tuple[int, int, int]]]:
    """Key, label and colour of each image of a set."""
    if name == "objectnet":
        groups = tinies[name].groups
        return {k: (min(groups[label]), c) for k, (label, c) in tinies[name].truth.items()}
    merged = {
        "imagenet_a_id": {label: label for label in A_LABELS},
        "imagenet_r_id": {label: label for label in R_LABELS},
        "imagenet_objectnet_id": first_of_group(tinies),
    }.get(name)
    if merged is None:
        return tinies[name].truth
    rows = tinies["imagenet"].truth.items()
    return {key: (merged[label], c) for key, (label, c) in rows if label in merged}


def candidates(tinies: dict[str, Tiny], name: str) -> tuple[Any, ...] | None:
    if "objectnet" in name:
        groups = tinies["objectnet"].groups
        return tuple(tuple(sorted(groups[label])) for label in sorted(groups))
    return {"a": A_LABELS, "r": R_LABELS}.get(name.removeprefix("imagenet_").removesuffix("_id"))
