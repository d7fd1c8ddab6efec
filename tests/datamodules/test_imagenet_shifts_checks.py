"""What is checked of ImageNet and its shifts before the first image, and what is said."""

import random
import shutil
import warnings
from collections import Counter

import pytest
import tiny_imagenet
import tiny_shifts
from tiny_imagenet import A_LABELS
from tiny_shifts import NAMES, read, truth

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import (
    ImageNet,
    ImageNetA,
    ImageNetShifts,
    ImageNetSketch,
    ImageNetV2,
    ObjectNet,
)

NEEDS = {
    "imagenet": {"val"},
    "imagenetv2": {"imagenetv2-matched-frequency-format-val"},
    "imagenet_a_id": {"val"},
    "imagenet_a": {"imagenet-a"},
    "imagenet_r_id": {"val"},
    "imagenet_r": {"imagenet-r"},
    "imagenet_sketch": {"sketch"},
    "imagenet_objectnet_id": {"val", "objectnet-1.0"},
    "objectnet": {"objectnet-1.0"},
}


@pytest.fixture
def rng(seed):
    return random.Random(seed)


@pytest.fixture
def tinies(tmp_path, rng):
    return tiny_shifts.imagenet_and_shifts(tmp_path, rng)


@pytest.mark.parametrize("name", NAMES)
def test_only_what_a_set_needs_has_to_be_there(tinies, tmp_path, name):
    folders = {tiny.folder for tiny in tinies.values()}
    assert NEEDS[name] <= folders
    for folder in folders - NEEDS[name]:
        shutil.rmtree(tmp_path / folder)
    assert read(tmp_path, [name])[name].keys == sorted(truth(tinies, name))


def test_all_that_is_missing_is_said_at_once(tinies, tmp_path):
    for folder in ("val", "imagenet-a", "objectnet-1.0"):
        shutil.rmtree(tmp_path / folder)
    with pytest.raises(InputError, match=r"9 test sets.*problems with 6 of") as caught:
        read(tmp_path, NAMES)
    message = str(caught.value)
    assert "\nimagenet, imagenet_a_id, imagenet_r_id, imagenet_objectnet_id: Expected" in message
    assert "\nimagenet_a: Expected" in message
    assert "\nimagenet_objectnet_id, objectnet: Expected" in message
    for module in (ImageNet, ImageNetA, ObjectNet):
        assert message.count(module.address) == 1
        assert module.tree in message
    for module in (ImageNetV2, ImageNetSketch):
        assert module.address not in message


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_root_says_all_that_a_set_needs(tmp_path, name):
    with pytest.raises(InputError, match=r"1 test sets.*problems with 1 of") as caught:
        ImageNetShifts(tmp_path, [name]).setup()
    said = [line for line in str(caught.value).split("\n") if line.startswith(f"{name}: ")]
    assert len(said) == len(NEEDS[name])
    assert all(str(tmp_path) in line for line in said)


def test_a_set_without_a_folder_is_not_sought_among_validation_images(tmp_path, rng):
    tiny_imagenet.imagenet_folders(tmp_path, rng)
    for folder in (tmp_path / "val").iterdir():
        folder.rename(tmp_path / folder.name)
    (tmp_path / "val").rmdir()
    assert read(tmp_path, ["imagenet"])
    with pytest.raises(InputError, match="no folder sketch"):
        read(tmp_path, ["imagenet_sketch"])


def test_damaged_images_of_every_set_are_found_before_the_first(tinies, tmp_path):
    damaged = {}
    for name in ("imagenetv2", "imagenet_a"):
        key = sorted(tinies[name].truth)[0]
        damaged[name] = tmp_path / tinies[name].folder / key
        damaged[name].write_bytes(b"\xff\xd8")
    with pytest.raises(InputError, match="problems with 2 of") as caught:
        read(tmp_path, NAMES)
    assert all(str(file) in str(caught.value) for file in damaged.values())
    assert read(tmp_path, NAMES, on_corrupt="skip").keys() == set(NAMES)


def test_an_id_set_without_images_is_an_error(tmp_path, rng):
    outside = next(label for label in range(1000) if label not in A_LABELS)
    tiny_imagenet.imagenet_folders(tmp_path, rng, labels=[outside] * 3)
    with pytest.raises(InputError, match=r"'imagenet_a_id'.*got none"):
        read(tmp_path, ["imagenet_a_id"])


@pytest.mark.parametrize(
    ("names", "got"),
    [
        (["imagenet", "imagenet_b"], "imagenet_b"),
        (["imagenet_a", "imagenet_a"], "imagenet_a twice"),
        (["all", "imagenet"], "all"),
        ([], "nothing"),
    ],
)
def test_wrong_names_get_the_list_of_known_ones(tmp_path, names, got):
    with pytest.raises(InputError, match=f"`test_sets`.*got {got}\\.") as caught:
        ImageNetShifts(tmp_path, names)
    assert all(name in str(caught.value) for name in NAMES)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"subset": 0}, "subset"), ({"subset": 50001}, "subset"), ({"batch_size": 0}, "batch_size")],
)
def test_arguments_out_of_range_are_named(tmp_path, wrong, named):
    with pytest.raises(InputError, match=f"`{named}`"):
        ImageNetShifts(tmp_path, **wrong)


COUNTS = {
    "imagenet": (4000, "imagenet"),
    "imagenetv2": (10000, "ImageNetV2 (matched frequency)"),
    "imagenet_a_id": (10000, "imagenet_a_id"),
    "imagenet_a": (7500, "ImageNet-A"),
    "imagenet_r_id": (10000, "imagenet_r_id"),
    "imagenet_r": (30000, "ImageNet-R"),
    "imagenet_sketch": (50889, "ImageNet-Sketch"),
    "imagenet_objectnet_id": (6250, "imagenet_objectnet_id"),
    "objectnet": (18514, "ObjectNet"),
}


@pytest.mark.parametrize("name", NAMES)
def test_another_count_than_the_published_is_warned_of(tinies, tmp_path, name):
    with pytest.warns(UserWarning, match="test images") as caught:
        ImageNetShifts(tmp_path, [name], subset=4000).setup()
    expected, title = COUNTS[name]
    said = f"Expected the {expected} test images of {title}, but got {len(truth(tinies, name))} "
    assert any(said in str(warning.message) for warning in caught)


def test_a_subset_of_a_part_of_the_validation_images_is_warned_of(tinies, tmp_path):
    with pytest.warns(UserWarning, match="50000") as caught:
        ImageNetShifts(tmp_path, ["imagenet"], subset=5).setup()
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("name", "labels"), [("imagenet_a_id", A_LABELS), ("imagenet", range(1000))]
)
def test_whole_counts_give_no_warning(tmp_path, monkeypatch, name, labels):
    rows = [(tmp_path / f"ILSVRC2012_val_{i:08d}.JPEG", i % 1000) for i in range(50000)]
    rows[0][0].touch()
    monkeypatch.setattr(ImageNet, "_from_class_folders", lambda self, folder: rows)
    monkeypatch.setattr("diffclf_lightning.datamodules.imagenet_shifts.checked", lambda i, *_: i)
    with warnings.catch_warnings(action="error"):
        images = ImageNetShifts(tmp_path, [name]).test_sets()[name]
    assert Counter(images.labels) == dict.fromkeys(labels, 50 if "_id" in name else 10)


def test_objects_that_share_a_class_are_an_error(tinies, tmp_path):
    file = tmp_path / "objectnet-1.0/mappings/objectnet_to_imagenet_1k.json"
    [wok] = tinies["objectnet"].groups[ObjectNet.classnames.index("Wok")]
    [tray] = tinies["objectnet"].groups[ObjectNet.classnames.index("Tray")]
    thing = "thing {0}, also called thing {0}"
    file.write_text(file.read_text().replace(f'"{thing.format(tray)}"', f'"{thing.format(wok)}"'))
    with pytest.raises(InputError, match=f"mappings.*several objects.* {wok}"):
        read(tmp_path, ["objectnet"])
