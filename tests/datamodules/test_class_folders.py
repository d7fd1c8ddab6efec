import random
import shutil
import warnings

import pytest
import tiny_imagenet

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import ImageNetA, ImageNetR, ImageNetSketch, ImageNetV2

WRITERS = {
    ImageNetA: tiny_imagenet.imagenet_a,
    ImageNetR: tiny_imagenet.imagenet_r,
    ImageNetSketch: tiny_imagenet.imagenet_sketch,
    ImageNetV2: tiny_imagenet.imagenetv2,
}
# A class that a set does not have, named as its class folders are.
UNKNOWN = {
    ImageNetA: "n01440764",
    ImageNetR: "n01440764",
    ImageNetSketch: "n00000001",
    ImageNetV2: "1000",
}


@pytest.fixture(params=WRITERS)
def tiny(request, tmp_path, seed):
    return WRITERS[request.param](tmp_path, random.Random(seed))


def labels(module):
    with warnings.catch_warnings(action="ignore"):
        [images] = module.test_sets().values()
    return dict(zip(images.keys, images.labels, strict=True))


def truth(tiny):
    return {key: label for key, (label, _) in tiny.truth.items()}


def test_root_may_be_the_sets_own_folder(tiny, tmp_path):
    assert labels(tiny.module(tmp_path / tiny.folder)) == truth(tiny)


def test_images_are_in_the_order_of_their_keys(tiny, tmp_path):
    assert list(labels(tiny.module(tmp_path))) == sorted(tiny.truth)


@pytest.mark.parametrize("folder", ["imagenet-sketch", "imagenet-sketch/sketch"])
def test_sketches_may_lie_in_a_folder_of_their_own_name(tmp_path, seed, folder):
    tiny = tiny_imagenet.imagenet_sketch(tmp_path, random.Random(seed), folder)
    assert labels(ImageNetSketch(tmp_path)) == truth(tiny)
    assert labels(ImageNetSketch(tmp_path / "imagenet-sketch")) == truth(tiny)


@pytest.mark.parametrize(("module", "name"), [(ImageNetA, "imagenet_a"), (ImageNetR, "imagenet_r")])
def test_the_200_classes_are_those_that_timm_lists(module, name):
    synsets = tiny_imagenet.published_list(f"{name}_synsets")
    indices = tiny_imagenet.published_list(f"{name}_indices")
    assert dict(zip(synsets, map(int, indices), strict=True)) == module.label_of
    assert len(module.label_of) == 200


@pytest.mark.parametrize("number", [2, 10, 999])
def test_folders_of_v2_are_numbers_and_not_sorted_as_text(tmp_path, seed, number):
    tiny_imagenet.imagenetv2(tmp_path, random.Random(seed))
    found = labels(ImageNetV2(tmp_path))
    assert {v for k, v in found.items() if k.startswith(f"{number}/")} == {number}


def test_a_folder_of_a_class_that_the_set_lacks_is_an_error(tiny, tmp_path):
    name = UNKNOWN[tiny.module]
    (tmp_path / tiny.folder / name).mkdir()
    with pytest.raises(InputError, match=f"classes of .*{name}") as caught:
        tiny.module(tmp_path).setup()
    assert tiny.module.address in str(caught.value)


def test_another_set_in_place_of_this_one_is_an_error(tmp_path, seed):
    tiny_imagenet.imagenet_folders(tmp_path, random.Random(seed), labels=[0])
    (tmp_path / "val").rename(tmp_path / "imagenet-a")
    with pytest.raises(InputError, match="n01440764"):
        ImageNetA(tmp_path).setup()


def test_leading_zeros_are_no_label_of_v2(tmp_path, seed):
    tiny = tiny_imagenet.imagenetv2(tmp_path, random.Random(seed))
    (tmp_path / tiny.folder / "2").rename(tmp_path / tiny.folder / "0002")
    with pytest.raises(InputError, match="0002"):
        ImageNetV2(tmp_path).setup()


def test_what_is_not_named_as_a_class_is_left_alone(tiny, tmp_path):
    base = tmp_path / tiny.folder
    some = next(base.rglob(f"*{tiny.suffix}"))
    for name in ("misc", "__MACOSX", some.parent.name + "/.hidden"):
        (base / name).mkdir()
        shutil.copy(some, base / name)
    (base / UNKNOWN[tiny.module]).write_text("a file, no class folder")
    assert labels(tiny.module(tmp_path)) == truth(tiny)


@pytest.mark.parametrize("gone", [True, False])
def test_a_class_without_images_is_named_with_the_count(tiny, tmp_path, monkeypatch, seed, gone):
    classes = {key.split("/")[0]: label for key, label in sorted(truth(tiny).items())}
    monkeypatch.setattr(tiny.module, "label_of", classes)
    name = random.Random(seed).choice(list(classes))
    shutil.rmtree(tmp_path / tiny.folder / name)
    if not gone:
        (tmp_path / tiny.folder / name).mkdir()
    with pytest.warns(UserWarning, match=f"1 of its {len(classes)} class folders.* {name}"):
        tiny.module(tmp_path).setup()


def test_class_folders_without_images_are_an_error(tiny, tmp_path):
    for file in (tmp_path / tiny.folder).rglob(f"*{tiny.suffix}"):
        file.unlink()
    with pytest.raises(InputError, match="no images") as caught:
        tiny.module(tmp_path).setup()
    assert str(tmp_path / tiny.folder) in str(caught.value)
    assert tiny.module.tree in str(caught.value)


@pytest.mark.parametrize("target", ["nowhere", None])
def test_a_link_to_nowhere_or_itself_is_a_damaged_image(tiny, tmp_path, target):
    file = next((tmp_path / tiny.folder).rglob(f"*{tiny.suffix}"))
    file.unlink()
    file.symlink_to(file if target is None else tmp_path / target)
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(InputError, match="1 cannot") as caught,
    ):
        tiny.module(tmp_path).setup()
    assert str(file) in str(caught.value)
