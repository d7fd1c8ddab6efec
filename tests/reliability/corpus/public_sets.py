"""Folders of public sets that are not what was published."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_sets import aircraft, cifar10, flowers102, food101, pets, stl10

from corpus.case import Case, Prepare, steps, text
from corpus.pictures import cut, without
from diffclf_lightning.datamodules import (
    CIFAR10,
    STL10,
    FGVCAircraft,
    Flowers102,
    Food101,
    ImageNet,
    ImageNetA,
    ImageNetR,
    ImageNetShifts,
    ImageNetSketch,
    ImageNetV2,
    ObjectNet,
    OxfordPets,
    SugarCrepe,
    WhatsUp,
    Winoground,
)

MANUAL = (
    ImageNet, ImageNetA, ImageNetR, ImageNetShifts, ImageNetSketch, ImageNetV2, ObjectNet,
    SugarCrepe, WhatsUp, Winoground,
)  # fmt: skip
FETCHED = {
    CIFAR10: cifar10, STL10: stl10, FGVCAircraft: aircraft, Flowers102: flowers102,
    Food101: food101, OxfordPets: pets,
}  # fmt: skip


def ready(kind: type, **options: Any) -> Callable[[], object]:
    """Sets a data module up, as a test does."""
    return lambda: kind(root="data", **options).setup("test")


def tiny(write: Callable[[Path, random.Random], object]) -> Prepare:
    """A tiny copy of a set."""
    return lambda folder: write(folder / "data", random.Random(0))


def cases_of(kind: type, says: str, **options: Any) -> list[Case]:
    """No folder, an empty one, a file, and one of other things."""
    call, name = ready(kind, **options), kind.__name__
    return [
        Case(f"{name}: no folder", call=call, says=says),
        Case(
            f"{name}: an empty folder",
            call=call,
            says=says,
            prepare=lambda folder: (folder / "data").mkdir(),
        ),
        Case(f"{name}: a file", call=call, says=says, prepare=text("data", b"x")),
        Case(
            f"{name}: something else",
            call=call,
            says=says,
            prepare=text("data/notes/readme.txt", "none"),
        ),
    ]


def broken(kind: type, name: str, *change: Prepare, says: str) -> Case:
    """A tiny copy with something wrong."""
    prepare = steps(tiny(FETCHED[kind]), *change)
    return Case(
        f"{kind.__name__}: {name}", call=ready(kind, download=False), says=says, prepare=prepare
    )


CIFAR, FOOD = "data/cifar-10-batches-py", "data/food-101"
PETS, PLANES = "data/oxford-iiit-pet", "data/fgvc-aircraft-2013b/data"
CASES = [
    *(case for kind in MANUAL for case in cases_of(kind, "data")),
    *(case for kind in FETCHED for case in cases_of(kind, "data", download=False)),
    broken(CIFAR10, "no test batch", without(f"{CIFAR}/test_batch"), says="data"),
    broken(CIFAR10, "half a test batch", cut(f"{CIFAR}/test_batch", 0.5), says="data"),
    broken(CIFAR10, "a test batch of no bytes", text(f"{CIFAR}/test_batch", b""), says="data"),
    broken(Food101, "half a list", cut(f"{FOOD}/meta/test.json", 0.5), says="data"),
    broken(Food101, "a list of no bytes", text(f"{FOOD}/meta/test.json", b""), says="data"),
    broken(Food101, "no images", without(f"{FOOD}/images"), says="data"),
    broken(OxfordPets, "no annotations", without(f"{PETS}/annotations"), says="data"),
    broken(
        OxfordPets, "a list of no bytes", text(f"{PETS}/annotations/test.txt", b""), says="data"
    ),
    broken(
        OxfordPets,
        "a list of words",
        text(f"{PETS}/annotations/test.txt", "none\n"),
        says="data",
    ),
    broken(OxfordPets, "no images", without(f"{PETS}/images"), says="data"),
    broken(
        FGVCAircraft,
        "a list of no bytes",
        text(f"{PLANES}/images_variant_test.txt", b""),
        says="data",
    ),
    broken(
        FGVCAircraft,
        "a list of words",
        text(f"{PLANES}/images_variant_test.txt", "none\n"),
        says="data",
    ),
    broken(FGVCAircraft, "no images", without(f"{PLANES}/images"), says="data"),
    broken(STL10, "half the images", cut("data/stl10_binary/test_X.bin", 0.5), says="data"),
    broken(STL10, "half the labels", cut("data/stl10_binary/test_y.bin", 0.5), says="data"),
    broken(
        Flowers102,
        "half the labels",
        cut("data/flowers-102/imagelabels.mat", 0.5),
        says="data",
    ),
    broken(Flowers102, "no split", without("data/flowers-102/setid.mat"), says="data"),
    broken(Flowers102, "no images", without("data/flowers-102/jpg"), says="data"),
]
