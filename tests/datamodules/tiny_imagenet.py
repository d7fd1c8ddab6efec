"""Tiny copies of ImageNet and its shifts, in the formats in which they are published."""

import json
import random
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from scipy.io import savemat
from tiny_files import Tiny, colour, save

from diffclf_lightning.datamodules import (
    ImageNet,
    ImageNetA,
    ImageNetR,
    ImageNetSketch,
    ImageNetV2,
    ObjectNet,
)

RED = (255, 0, 0)


def published_list(name: str) -> list[str]:
    """Lines of a list of ImageNet's classes that timm carries."""
    return (files("timm") / "data/_info" / f"{name}.txt").read_text().split()


SYNSETS = published_list("imagenet_synsets")
A_LABELS = tuple(map(int, published_list("imagenet_a_indices")))
R_LABELS = tuple(map(int, published_list("imagenet_r_indices")))


def _validation(rng: random.Random, classes: int, each: int) -> list[int]:
    """Labels of validation images by number, classes mixed as they are in the real set."""
    labels = [label for label in rng.sample(range(1000), classes) for _ in range(each)]
    rng.shuffle(labels)
    return labels


def imagenet_folders(
    root: Path,
    rng: random.Random,
    classes: int = 4,
    each: int = 3,
    subset: int | None = None,
    labels: list[int] | None = None,
) -> Tiny:
    tiny = Tiny(ImageNet, "val", kwargs={"subset": subset})
    labels = _validation(rng, classes, each) if labels is None else labels
    for number, label in enumerate(labels, start=1):
        key = f"ILSVRC2012_val_{number:08d}.JPEG"
        tiny.truth[key] = (label, save(root / "val" / SYNSETS[label] / key, rng))
    return tiny


def imagenet_flat(
    root: Path,
    rng: random.Random,
    classes: int = 4,
    each: int = 3,
    labels: list[int] | None = None,
) -> Tiny:
    devkit = "ILSVRC2012_devkit_t12/data"
    tiny = Tiny(ImageNet, "val", kwargs={"subset": None})
    tiny.split_file = f"{devkit}/ILSVRC2012_validation_ground_truth.txt"
    labels = _validation(rng, classes, each) if labels is None else labels
    for number, label in enumerate(labels, start=1):
        key = f"ILSVRC2012_val_{number:08d}.JPEG"
        tiny.truth[key] = (label, save(root / "val" / key, rng))
    (root / devkit).mkdir(parents=True)
    order = rng.sample(range(1000), 1000)
    id_of = {label: position + 1 for position, label in enumerate(order)}
    (root / tiny.split_file).write_text("".join(f"{id_of[label]}\n" for label in labels))
    write_meta(root / devkit / "meta.mat", [SYNSETS[label] for label in order])
    return tiny


def write_meta(file: Path, leaves: list[str]) -> None:
    """``meta.mat`` of the development kit: the classes by ILSVRC id, then the nodes above them."""
    fields = [
        "ILSVRC2012_ID",
        "WNID",
        "words",
        "gloss",
        "num_children",
        "children",
        "wordnet_height",
        "num_train_images",
    ]
    nodes = [(synset, 0) for synset in leaves] + [("n00001740", 3), ("n00004258", 2)]
    synsets = np.empty((len(nodes), 1), dtype=[(name, object) for name in fields])
    for i, (synset, children) in enumerate(nodes):
        below = np.arange(1.0, children + 1)[None] if children else np.zeros((1, 0))
        words = f"word {i}, other word {i}"
        synsets[i, 0] = (i + 1.0, synset, words, "a gloss", float(children), below, 0.0, 1300.0)
    savemat(file, {"synsets": synsets})


def objectnet(root: Path, rng: random.Random) -> Tiny:
    base, tiny = root / "objectnet-1.0", Tiny(ObjectNet, "objectnet-1.0")
    mappings = base / "mappings"
    mappings.mkdir(parents=True)
    tiny.split_file = "objectnet-1.0/mappings/folder_to_objectnet_label.json"
    ids = iter(rng.sample(range(1000), 1000))
    several = {"Chair": 3, "Alarm clock": 2, "Wheel": 2}
    wanted = {
        name: [next(ids) for _ in range(several.get(name, 1))] for name in ObjectNet.classnames
    }
    tiny.groups = {ObjectNet.classnames.index(name): own for name, own in wanted.items()}
    label_text = [f"thing {i}, also called thing {i}" for i in range(1000)]
    shuffled = list(wanted)
    rng.shuffle(shuffled)
    _dump(
        mappings / "objectnet_to_imagenet_1k.json",
        {name: "; ".join(label_text[i] for i in wanted[name]) for name in shuffled},
    )
    order = rng.sample(range(1000), 1000)
    _dump(
        mappings / "pytorch_to_imagenet_2012_id.json",
        {str(i): position for position, i in sorted(enumerate(order), key=lambda pair: pair[1])},
    )
    (mappings / "imagenet_to_label_2012_v2").write_text(
        "".join(f"{label_text[i]}\n" for i in order)
    )
    folders = {
        name: "".join(c for c in name.lower().replace(" ", "_") if c.isalnum() or c == "_")
        for name in wanted
    }
    folders |= {"Drying rack for plates": "drying_rack_for_dishes", "Squeegee": "squeegee"}
    _dump(
        mappings / "folder_to_objectnet_label.json",
        {folder: name for name, folder in folders.items()},
    )
    for name in ["Wok", "Squeegee", "Chair", "Drying rack for plates", "Alarm clock"]:
        for _ in range(2):
            key = f"{folders[name]}/{rng.randrange(16**8):08x}.png"
            chosen, file = colour(rng), base / "images" / key
            file.parent.mkdir(parents=True, exist_ok=True)
            ImageOps.expand(Image.new("RGB", (20, 30), chosen), border=2, fill=RED).save(file)
            if name in wanted:
                tiny.truth[key] = (ObjectNet.classnames.index(name), chosen)
    return tiny


def _dump(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2))


def _write_classes(tiny: Tiny, base: Path, rng: random.Random, folders: dict[str, int]) -> Tiny:
    """Some images of each class, written in mixed order."""
    order = [name for name in folders for _ in range(rng.randint(1, 3))]
    rng.shuffle(order)
    for name in order:
        key = f"{name}/{rng.randrange(16**8):08x}{tiny.suffix}"
        tiny.truth[key] = (folders[name], save(base / key, rng))
    return tiny


def _synsets(labels: Iterable[int]) -> dict[str, int]:
    return {SYNSETS[label]: label for label in labels}


def imagenet_a(root: Path, rng: random.Random) -> Tiny:
    tiny = Tiny(ImageNetA, "imagenet-a", candidate_labels=A_LABELS)
    (root / "imagenet-a").mkdir(parents=True)
    (root / "imagenet-a/README.txt").write_text("The classes are ...")
    return _write_classes(tiny, root / "imagenet-a", rng, _synsets(rng.sample(A_LABELS, 5)))


def imagenet_r(root: Path, rng: random.Random) -> Tiny:
    tiny = Tiny(ImageNetR, "imagenet-r", candidate_labels=R_LABELS)
    return _write_classes(tiny, root / "imagenet-r", rng, _synsets(rng.sample(R_LABELS, 5)))


def imagenet_sketch(root: Path, rng: random.Random, folder: str = "sketch") -> Tiny:
    tiny = Tiny(ImageNetSketch, folder, suffix=".JPEG")
    return _write_classes(tiny, root / folder, rng, _synsets(rng.sample(range(1000), 5)))


def imagenetv2(root: Path, rng: random.Random) -> Tiny:
    folder = "imagenetv2-matched-frequency-format-val"
    tiny = Tiny(ImageNetV2, folder, suffix=".jpeg")
    labels = {2, 10, 999, *rng.sample(range(1000), 3)}
    return _write_classes(tiny, root / folder, rng, {str(label): label for label in labels})
