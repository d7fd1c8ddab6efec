"""Tiny copies of the published test sets, in the formats in which they are published."""

import json
import pickle
import random
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat
from tiny_files import Tiny, colour, md5, save
from tiny_imagenet import (
    imagenet_a,
    imagenet_flat,
    imagenet_folders,
    imagenet_r,
    imagenet_sketch,
    imagenetv2,
    objectnet,
)

from diffclf_lightning.datamodules import (
    CIFAR10,
    STL10,
    FGVCAircraft,
    Flowers102,
    Food101,
    OxfordPets,
)


def food101(root: Path, rng: random.Random) -> Tiny:
    base, tiny = root / "food-101", Tiny(Food101, "food-101", split_file="food-101/meta/test.json")
    splits: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for name, label in [("waffles", 100), ("cheesecake", 17), ("cheese_plate", 16)]:
        for split, count in [("train", 3), ("test", 2)]:
            stems = [f"{name}/{rng.randrange(10**6)}" for _ in range(count)]
            splits[split][name] = stems
            for stem in stems:
                chosen = save(base / "images" / f"{stem}.jpg", rng)
                if split == "test":
                    tiny.truth[f"images/{stem}.jpg"] = (label, chosen)
    (base / "meta").mkdir()
    (base / "meta/classes.txt").write_text("\n".join(sorted(splits["test"])))
    for split, content in splits.items():
        (base / f"meta/{split}.json").write_text(json.dumps(content))
        (base / f"meta/{split}.txt").write_text("\n".join(chain(*content.values())))
    return tiny


def aircraft(root: Path, rng: random.Random) -> Tiny:
    data = root / "fgvc-aircraft-2013b/data"
    tiny = Tiny(
        FGVCAircraft,
        "fgvc-aircraft-2013b",
        split_file="fgvc-aircraft-2013b/data/images_variant_test.txt",
    )
    lines = []
    for label, variant in [(99, "Yak-42"), (0, "707-320"), (37, "BAE 146-200"), (73, "F/A-18")]:
        number = f"{rng.randrange(10**7):07d}"
        tiny.truth[f"data/images/{number}.jpg"] = (
            label,
            save(data / f"images/{number}.jpg", rng),
        )
        lines.append(f"{number} {variant}")
    (data / "images_variant_test.txt").write_text("\n".join(lines) + "\n")
    (data / "variants.txt").write_text("\n".join(FGVCAircraft.classnames) + "\n")
    save(data / "images/0000000.jpg", rng)
    (data / "images_variant_trainval.txt").write_text("0000000 DC-3\n")
    return tiny


def pets(root: Path, rng: random.Random) -> Tiny:
    base = root / "oxford-iiit-pet"
    tiny = Tiny(OxfordPets, "oxford-iiit-pet", split_file="oxford-iiit-pet/annotations/test.txt")
    lines = []
    for label, name in [
        (0, "Abyssinian"),
        (35, "wheaten_terrier"),
        (2, "american_pit_bull_terrier"),
    ]:
        for number in rng.sample(range(300), 2):
            stem = f"{name}_{number}"
            tiny.truth[f"images/{stem}.jpg"] = (label, save(base / f"images/{stem}.jpg", rng))
            lines.append(f"{stem} {label + 1} {1 if label == 0 else 2} 1")
    save(base / "images/pug_1.jpg", rng)
    save(base / "annotations/trimaps/pug_1.png", rng)
    (base / "annotations/test.txt").write_text("\n".join(lines) + "\n")
    (base / "annotations/trainval.txt").write_text("pug_1 26 2 15\n")
    return tiny


def flowers102(root: Path, rng: random.Random) -> Tiny:
    base, tiny = root / "flowers-102", Tiny(Flowers102, "flowers-102")
    labels = [rng.randrange(102) for _ in range(8)]
    test_ids = rng.sample(range(1, 9), 5)
    for number, label in enumerate(labels, start=1):
        chosen = save(base / f"jpg/image_{number:05d}.jpg", rng)
        if number in test_ids:
            tiny.truth[f"jpg/image_{number:05d}.jpg"] = (label, chosen)
    rest = [i for i in range(1, 9) if i not in test_ids]
    savemat(base / "imagelabels.mat", {"labels": np.array([labels], dtype=np.uint8) + 1})
    ids = {"trnid": rest[:1], "valid": rest[1:], "tstid": test_ids}
    savemat(base / "setid.mat", {k: np.array([v], dtype=np.uint16) for k, v in ids.items()})
    files = {"label": "imagelabels.mat", "setid": "setid.mat"}
    sums: dict[str, Any] = {k: (name, md5(base / name)) for k, name in files.items()}
    tiny.patches.append(("Flowers102", "_file_dict", {**sums, "image": ("102flowers.tgz", "")}))
    tiny.split_file = "flowers-102/setid.mat"
    return tiny


def cifar10(root: Path, rng: random.Random) -> Tiny:
    base, tiny = root / "cifar-10-batches-py", Tiny(CIFAR10, "cifar-10-batches-py")
    base.mkdir(parents=True)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for name in names:
        labels = [rng.randrange(10) for _ in range(6)]
        colours = [colour(rng) for _ in labels]
        planes = np.array([[[value] * 1024 for value in c] for c in colours], dtype=np.uint8)
        batch = {
            "batch_label": f"batch {name}",
            "labels": labels,
            "data": planes.reshape(6, 3072),
            "filenames": [f"{i}.png" for i in range(6)],
        }
        (base / name).write_bytes(pickle.dumps(batch, protocol=2))
        tiny.truth = {str(i): (labels[i], colours[i]) for i in range(6)}
    meta = {"num_cases_per_batch": 6, "label_names": list(CIFAR10.classnames), "num_vis": 3072}
    (base / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    sums = [[name, md5(base / name)] for name in names]
    described = {
        "filename": "batches.meta",
        "key": "label_names",
        "md5": md5(base / "batches.meta"),
    }
    tiny.patches += [
        ("CIFAR10", "train_list", sums[:-1]),
        ("CIFAR10", "test_list", sums[-1:]),
        ("CIFAR10", "meta", described),
    ]
    tiny.split_file = "cifar-10-batches-py/test_batch"
    return tiny


def stl10(root: Path, rng: random.Random) -> Tiny:
    base, tiny = root / "stl10_binary", Tiny(STL10, "stl10_binary")
    base.mkdir(parents=True)
    for split in ("train", "unlabeled", "test"):
        labels = [rng.randrange(10) for _ in range(4)]
        colours = [colour(rng) for _ in labels]
        planes = np.array(colours, dtype=np.uint8)[:, :, None].repeat(96 * 96, axis=2)
        planes.tofile(base / f"{split}_X.bin")
        if split != "unlabeled":
            (np.array(labels, dtype=np.uint8) + 1).tofile(base / f"{split}_y.bin")
        tiny.truth = {str(i): (labels[i], colours[i]) for i in range(4)}
    (base / "class_names.txt").write_text("\n".join(STL10.classnames) + "\n")
    (base / "fold_indices.txt").write_text("0 1\n" * 10)
    sums = {file.name: [file.name, md5(file)] for file in base.glob("*.bin")}
    train = ["train_X.bin", "train_y.bin", "unlabeled_X.bin"]
    tiny.patches += [
        ("STL10", "train_list", [sums[name] for name in train]),
        ("STL10", "test_list", [sums["test_X.bin"], sums["test_y.bin"]]),
    ]
    tiny.split_file = "stl10_binary/test_X.bin"
    return tiny


WRITERS: dict[str, Callable[[Path, random.Random], Tiny]] = {
    writer.__name__: writer
    for writer in (
        food101,
        cifar10,
        aircraft,
        pets,
        flowers102,
        stl10,
        imagenet_folders,
        imagenet_flat,
        objectnet,
        imagenet_a,
        imagenet_r,
        imagenet_sketch,
        imagenetv2,
    )
}
