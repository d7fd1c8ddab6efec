"""The nine sets of ImageNet and its shifts, held against what was written to the disk."""

import random
import warnings
from collections import Counter

import numpy as np
import pytest
import tiny_shifts
from tiny_shifts import ID_SETS, NAMES, candidates, read, truth

from diffclf_lightning.candidates import Candidates
from diffclf_lightning.datamodules import ImageNet, ImageNetShifts, ObjectNet
from diffclf_lightning.datamodules.imagenet_shifts import PAPER


@pytest.fixture
def tinies(tmp_path, seed):
    return tiny_shifts.imagenet_and_shifts(tmp_path, random.Random(seed))


@pytest.mark.parametrize("name", NAMES)
def test_labels_images_and_candidates_are_those_of_the_disk(tinies, tmp_path, name):
    images = read(tmp_path, [name])[name]
    expected = truth(tinies, name)
    assert images.keys == sorted(expected)
    assert images.labels == [expected[key][0] for key in images.keys]
    assert images.candidate_labels == candidates(tinies, name)
    for index, key in enumerate(images.keys):
        pixels = np.asarray(images[index]["image"], dtype=int)
        assert np.abs(pixels - expected[key][1]).max() <= 6


@pytest.mark.parametrize("name", NAMES)
def test_every_label_has_a_candidate_among_the_1000(tinies, tmp_path, name):
    images = read(tmp_path, [name])[name]
    everything = Candidates.from_class_ids(1000)
    allowed = images.candidate_labels
    kept = everything if allowed is None else everything.restrict(allowed)
    assert set(images.labels) <= set(kept.labels)
    sizes = {"objectnet": (117, 113), "a": (200, 200), "r": (200, 200)}
    kind = name.removeprefix("imagenet_").removesuffix("_id")
    assert (len(kept), len(set(kept.labels))) == sizes.get(kind, (1000, 1000))


def test_objects_of_several_classes_count_as_the_smallest(tinies, tmp_path):
    sets = read(tmp_path, ["imagenet_objectnet_id", "objectnet"])
    several = [own for own in tinies["objectnet"].groups.values() if len(own) > 1]
    assert sorted(map(len, several)) == [2, 2, 3]
    ids = Counter(sets["imagenet_objectnet_id"].labels)
    for own in several:
        assert ids[min(own)] == 3 * len(own)
        assert not set(own) & set(ids) - {min(own)}
    chair = tinies["objectnet"].groups[ObjectNet.classnames.index("Chair")]
    found = dict(zip(sets["objectnet"].keys, sets["objectnet"].labels, strict=True))
    assert {label for key, label in found.items() if key.startswith("chair/")} == {min(chair)}


def test_both_layouts_of_the_validation_images_give_the_same(tmp_path, seed):
    for flat in (True, False):
        tiny_shifts.imagenet_and_shifts(tmp_path / str(flat), random.Random(seed), flat)
    for subset in (None, 7):
        flat, folders = (read(tmp_path / str(flat), NAMES, subset) for flat in (True, False))
        assert list(flat) == list(folders) == NAMES
        for name in NAMES:
            assert flat[name].keys == folders[name].keys
            assert flat[name].labels == folders[name].labels


def test_the_subset_is_that_of_the_imagenet_module_and_of_no_other_set(tinies, tmp_path):
    classes = len({label for label, _ in tinies["imagenet"].truth.values()})
    part = read(tmp_path, NAMES, subset=classes)
    assert set(Counter(part["imagenet"].labels).values()) == {1}
    assert len(part["imagenet"]) == classes
    for name in ID_SETS:
        assert len(part[name]) == len(truth(tinies, name))
    with warnings.catch_warnings(action="ignore"):
        alone = ImageNet(tmp_path, subset=classes).test_sets()["imagenet"]
    assert part["imagenet"].keys == alone.keys
    drawn = {tuple(read(tmp_path, ["imagenet"], 4, seed=s)["imagenet"].keys) for s in range(8)}
    assert len(drawn) > 1


def test_the_validation_images_are_listed_once(tinies, tmp_path, monkeypatch):
    listed = []
    rows = ImageNet.rows
    monkeypatch.setattr(ImageNet, "rows", lambda self: listed.append(0) or rows(self))
    with warnings.catch_warnings(action="ignore"):
        module = ImageNetShifts(tmp_path, ["all"])
        module.setup("test")
        module.test_sets()
    assert len(listed) == 1


def test_the_sets_of_the_paper_are_the_default(tinies, tmp_path):
    with warnings.catch_warnings(action="ignore"):
        loaders = ImageNetShifts(tmp_path, batch_size=2).test_dataloader()
    assert tuple(loaders) == PAPER
    assert set(NAMES) - set(PAPER) == {"imagenet_r_id", "imagenet_r", "imagenet_sketch"}
    assert len(ImageNetShifts.classnames) == 1000
