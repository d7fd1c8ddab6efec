"""Properties of all published test sets, on tiny copies in their true formats."""

import random
import shutil
import warnings
from urllib.error import URLError

import numpy as np
import pytest
import tiny_sets
import torch
from PIL import Image
from torchvision import datasets

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import (
    CIFAR10,
    STL10,
    FGVCAircraft,
    Flowers102,
    Food101,
    ImageNet,
    ImageNetA,
    ImageNetR,
    ImageNetSketch,
    ImageNetV2,
    ObjectNet,
    OxfordPets,
)
from diffclf_lightning.denoisers import ResizeCenterCrop

PUBLISHED = {
    Food101: ("food101", "accuracy", 101, 25250),
    CIFAR10: ("cifar10", "accuracy", 10, 10000),
    FGVCAircraft: ("aircraft", "mean_per_class_accuracy", 100, 3333),
    OxfordPets: ("pets", "mean_per_class_accuracy", 37, 3669),
    Flowers102: ("flowers102", "mean_per_class_accuracy", 102, 6149),
    STL10: ("stl10", "accuracy", 10, 8000),
    ImageNet: ("imagenet", "accuracy", 1000, 50000),
    ObjectNet: ("objectnet", "accuracy", 113, 18514),
    ImageNetA: ("imagenet_a", "accuracy", 1000, 7500),
    ImageNetR: ("imagenet_r", "accuracy", 1000, 30000),
    ImageNetSketch: ("imagenet_sketch", "accuracy", 1000, 50889),
    ImageNetV2: ("imagenetv2", "accuracy", 1000, 10000),
}
FETCHED = [Food101, CIFAR10, FGVCAircraft, OxfordPets, Flowers102, STL10]
MANUAL = [ImageNet, ObjectNet, ImageNetA, ImageNetR, ImageNetSketch, ImageNetV2]
ALL = list(tiny_sets.WRITERS)
BY_TORCHVISION = ["food101", "cifar10", "aircraft", "pets", "flowers102", "stl10"]
WITH_LISTED_FILES = ["food101", "aircraft", "pets", "flowers102"]


@pytest.fixture(params=ALL)
def tiny(request, tmp_path, monkeypatch, seed):
    written = tiny_sets.WRITERS[request.param](tmp_path, random.Random(seed))
    for name, attribute, value in written.patches:
        monkeypatch.setattr(getattr(datasets, name), attribute, value)
    return written


def build(tiny, root, **kwargs):
    return tiny.module(root, **{**tiny.kwargs, **kwargs})


def only_set(module):
    with warnings.catch_warnings(action="ignore"):
        [images] = module.test_sets().values()
    return images


def test_labels_and_keys_are_those_of_the_files(tiny, tmp_path):
    images = only_set(build(tiny, tmp_path))
    found = dict(zip(images.keys, images.labels, strict=True))
    assert found == {key: label for key, (label, _) in tiny.truth.items()}
    assert images.candidate_labels == tiny.candidate_labels
    assert len(images) == len(tiny.truth)


def test_each_image_is_the_one_of_its_key(tiny, tmp_path):
    images = only_set(build(tiny, tmp_path))
    for index, key in enumerate(images.keys):
        sample = images[index]
        label, colour = tiny.truth[key]
        assert (sample["label"], sample["key"], sample["readable"]) == (label, key, True)
        assert sample["image"].mode == "RGB"
        assert np.abs(np.asarray(sample["image"], dtype=int) - colour).max() <= 6


def test_keys_do_not_depend_on_where_the_data_lies(tiny, tmp_path):
    before = only_set(build(tiny, tmp_path)).keys
    copy = tmp_path.parent / f"{tmp_path.name}-copy"
    shutil.copytree(tmp_path, copy)
    assert only_set(build(tiny, copy)).keys == before


def test_no_image_is_opened_before_it_is_asked_for(tiny, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("an image was opened")

    monkeypatch.setattr(Image, "open", refuse)
    monkeypatch.setattr(Image, "fromarray", refuse)
    images = only_set(build(tiny, tmp_path))
    with pytest.raises(AssertionError, match="an image was opened"):
        images[0]


def test_a_copy_of_another_size_is_warned_of_with_both_numbers(tiny, tmp_path):
    module = build(tiny, tmp_path)
    with pytest.warns(UserWarning, match="test images") as caught:
        module.setup("test")
    [message] = [str(w.message) for w in caught if "test images" in str(w.message)]
    assert f"{module.expected_images} test" in message
    assert f"got {len(tiny.truth)} " in message


def test_the_published_number_of_images_gives_no_warning(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(tiny.module, "expected_images", len(tiny.truth))
    with warnings.catch_warnings(action="error"):
        build(tiny, tmp_path).setup("test")


def test_loader_gives_batches_in_the_transform(tiny, tmp_path):
    module = build(tiny, tmp_path, batch_size=3)
    module.transform = ResizeCenterCrop(8)
    with warnings.catch_warnings(action="ignore"):
        loaders = module.test_dataloader()
    assert list(loaders) == [PUBLISHED[tiny.module][0]]
    batches = list(loaders[module.name])
    assert batches[0]["image"].shape == (3, 3, 8, 8)
    images = only_set(module)
    assert torch.cat([batch["label"] for batch in batches]).tolist() == images.labels
    assert [key for batch in batches for key in batch["key"]] == images.keys


def test_a_missing_split_file_is_one_clear_error(tiny, tmp_path):
    if tiny.split_file is None:
        shutil.rmtree(tmp_path / tiny.folder)
    else:
        (tmp_path / tiny.split_file).unlink()
    module = build(tiny, tmp_path)
    with pytest.raises(InputError, match="Expected") as caught:
        module.setup("test")
    assert str(tmp_path) in str(caught.value)
    assert "root" in str(caught.value)


@pytest.mark.parametrize("tiny", WITH_LISTED_FILES, indirect=True)
def test_a_missing_image_is_found_before_any_is_evaluated(tiny, tmp_path):
    key = sorted(tiny.truth)[0]
    (tmp_path / tiny.folder / key).unlink()
    with warnings.catch_warnings(action="ignore"), pytest.raises(InputError, match="missing") as e:
        build(tiny, tmp_path).setup("test")
    assert key in str(e.value)


@pytest.mark.parametrize("tiny", ["aircraft"], indirect=True)
def test_labels_do_not_depend_on_the_order_of_classes_on_the_disk(tiny, tmp_path):
    file = tmp_path / tiny.folder / "data/variants.txt"
    file.write_text("".join(f"{name}\n" for name in reversed(FGVCAircraft.classnames)))
    images = only_set(build(tiny, tmp_path))
    found = dict(zip(images.keys, images.labels, strict=True))
    assert found == {key: label for key, (label, _) in tiny.truth.items()}


@pytest.mark.parametrize("tiny", ["aircraft", "food101", "pets"], indirect=True)
def test_classes_of_another_data_set_are_an_error(tiny, tmp_path):
    changes = {
        "aircraft": ("fgvc-aircraft-2013b/data/variants.txt", "707-320", "707-321"),
        "food101": ("food-101/meta/test.json", '"waffles":', '"wafers":'),
        "pets": ("oxford-iiit-pet/annotations/test.txt", " 36 ", " 38 "),
    }
    name, old, new = changes[tiny.module.name]
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    if tiny.module is FGVCAircraft:
        labels = tmp_path / tiny.split_file
        labels.write_text(labels.read_text().replace(old, new))
    with pytest.raises(InputError, match=r"707-321|wafers|from 0 to 36.*37"):
        build(tiny, tmp_path).setup("test")


@pytest.mark.parametrize("tiny", ["aircraft", "pets", "food101"], indirect=True)
def test_an_empty_split_is_an_error(tiny, tmp_path):
    file = tmp_path / tiny.split_file
    file.write_text("{}" if file.suffix == ".json" else "")
    with warnings.catch_warnings(action="ignore"), pytest.raises(InputError, match="got none"):
        build(tiny, tmp_path).setup("test")


@pytest.mark.parametrize("module", PUBLISHED)
def test_name_metric_and_size_are_the_published_ones(module, tmp_path):
    name, metric, classes, images = PUBLISHED[module]
    built = module(tmp_path)
    assert (built.name, built.metric, built.expected_images) == (name, metric, images)
    assert len(built.classnames) == classes


@pytest.mark.parametrize("module", PUBLISHED)
def test_classnames_are_known_without_data_and_read_well(module, tmp_path):
    names = module(tmp_path / "nothing").classnames
    assert all(name == name.strip() and name and "_" not in name for name in names)
    if names is not ImageNet.classnames:
        assert len(set(names)) == len(names)


def test_class_order_is_that_of_the_published_labels():
    assert Food101.classnames[16:18] == ("cheese plate", "cheesecake")
    assert FGVCAircraft.classnames[0] == "707-320"
    assert FGVCAircraft.classnames[-1] == "Yak-42"
    breeds = [name.removesuffix(" cat").removesuffix(" dog") for name in OxfordPets.classnames]
    assert breeds == sorted(breeds)
    assert list(CIFAR10.classnames) == sorted(CIFAR10.classnames)
    assert list(STL10.classnames) == sorted(STL10.classnames)
    assert (ImageNet.classnames[0], ImageNet.classnames[999]) == ("tench", "toilet paper")
    assert list(ImageNet.synsets) == sorted(set(ImageNet.synsets))
    assert list(ObjectNet.classnames) == sorted(ObjectNet.classnames)


def test_names_of_flowers_are_torchvisions_but_three():
    pairs = zip(datasets.Flowers102.classes, Flowers102.classnames, strict=True)
    assert {label: names for label, names in enumerate(pairs) if len(set(names)) > 1} == {
        15: ("globe-flower", "globe flower"),
        59: ("pink-yellow dahlia?", "pink and yellow dahlia"),
        92: ("ball moss", "air plant"),
    }


@pytest.mark.parametrize("tiny", ["pets"], indirect=True)
def test_names_of_pets_are_torchvisions_with_their_animal_but_one(tiny, tmp_path):
    """The files of cats begin with a capital; torchvision knows the breeds that the files name."""
    breeds = datasets.OxfordIIITPet(tmp_path, split="test").class_to_idx
    for breed in breeds:
        [label] = {label for key, (label, _) in tiny.truth.items() if is_of(key, breed)}
        is_cat = any(is_of(key, breed) and key[7].isupper() for key in tiny.truth)
        assert OxfordPets.classnames[label] == f"{breed} {'cat' if is_cat else 'dog'}"
    without = [n for n in OxfordPets.classnames if not n.endswith((" cat", " dog"))]
    assert without == ["American Bulldog"]
    assert sum(name.endswith(" cat") for name in OxfordPets.classnames) == 12


def is_of(key, breed):
    return key.removeprefix("images/").lower().startswith(breed.lower().replace(" ", "_") + "_")


@pytest.mark.parametrize("module", PUBLISHED)
def test_missing_data_is_said_with_the_folder_and_the_remedy(module, tmp_path):
    built = module(tmp_path)
    with pytest.raises(InputError, match="root") as caught:
        built.test_sets()
    message = str(caught.value)
    assert str(tmp_path) in message
    if module in FETCHED:
        assert str(tmp_path / built.folder) in message
        assert "download=True" in message
    else:
        assert built.address in message
        assert built.tree in message


@pytest.mark.parametrize("module", MANUAL)
def test_sets_that_a_person_fetches_say_where_and_how(module, tmp_path):
    with pytest.raises(InputError, match="`download`") as caught:
        module(tmp_path, download=True)
    assert module.address in str(caught.value)
    assert module.tree in str(caught.value)


@pytest.mark.parametrize("module", FETCHED)
def test_a_failed_download_is_said_with_the_address(module, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no route")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    built = module(tmp_path, download=True)
    with pytest.raises(InputError, match="no route") as caught:
        built.prepare_data()
    assert built.address in str(caught.value)


@pytest.mark.parametrize("tiny", BY_TORCHVISION, indirect=True)
def test_nothing_is_fetched_when_the_data_is_there(tiny, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    module = build(tiny, tmp_path, download=True)
    with warnings.catch_warnings(action="ignore"):
        module.prepare_data()
        module.setup("test")
    assert len(only_set(module)) == len(tiny.truth)


@pytest.mark.parametrize("module", PUBLISHED)
@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"num_workers": -1}, {"on_corrupt": "ignore"}]
)
def test_arguments_out_of_range_are_named(module, wrong, tmp_path):
    [(argument, value)] = wrong.items()
    with pytest.raises(InputError, match=f"`{argument}`") as caught:
        module(tmp_path, **wrong)
    assert str(value) in str(caught.value)
