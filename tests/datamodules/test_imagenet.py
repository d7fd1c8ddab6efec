import random
import warnings
from collections import Counter

import pytest
import tiny_files
import tiny_imagenet

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import ImageNet

DEVKIT = "ILSVRC2012_devkit_t12/data"


def validation_set(root, **kwargs):
    with warnings.catch_warnings(action="ignore"):
        return ImageNet(root, **kwargs).test_sets()["imagenet"]


def test_both_layouts_give_the_same_set_and_the_same_subset(tmp_path, seed):
    for layout, writer in [
        ("folders", tiny_imagenet.imagenet_folders),
        ("flat", tiny_imagenet.imagenet_flat),
    ]:
        writer(tmp_path / layout, random.Random(seed))
    for subset in (None, 5):
        folders = validation_set(tmp_path / "folders", subset=subset)
        flat = validation_set(tmp_path / "flat", subset=subset)
        assert folders.keys == flat.keys
        assert folders.labels == flat.labels


def test_images_may_lie_at_the_root_itself(tmp_path, seed):
    tiny = tiny_imagenet.imagenet_folders(tmp_path, random.Random(seed))
    assert sorted(validation_set(tmp_path / "val", subset=None).keys) == sorted(tiny.truth)


@pytest.mark.parametrize("subset", [1, 4, 6, 8, 11])
def test_a_subset_is_balanced_and_true(tmp_path, seed, subset):
    tiny = tiny_imagenet.imagenet_folders(tmp_path, random.Random(seed))
    images = validation_set(tmp_path, subset=subset)
    counts = Counter(images.labels).values()
    assert len(images) == subset
    assert max(counts) <= -(-subset // 4)
    assert all(tiny.truth[k][0] == v for k, v in zip(images.keys, images.labels, strict=True))
    assert images.image(0).size == (24, 16)


def test_the_default_takes_two_images_of_each_class(tmp_path, monkeypatch):
    names = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, 3001)]
    rows = [(tmp_path / name, i % 1000) for i, name in enumerate(names)]
    monkeypatch.setattr(ImageNet, "_from_class_folders", lambda self, folder: rows)
    with pytest.warns(UserWarning, match="50000"):
        images = ImageNet(tmp_path).read()
    assert Counter(images.labels) == dict.fromkeys(range(1000), 2)


def test_seeds_give_other_subsets(tmp_path, seed):
    tiny_imagenet.imagenet_folders(tmp_path, random.Random(seed), each=6)
    drawn = [tuple(validation_set(tmp_path, subset=4, seed=s).keys) for s in range(8)]
    assert len(set(drawn)) > 1
    assert drawn[0] == tuple(validation_set(tmp_path, subset=4).keys)


@pytest.mark.parametrize("subset", [0, -1, 50001])
def test_subset_out_of_range_is_named(tmp_path, subset):
    with pytest.raises(InputError, match=f"`subset`.*{subset}"):
        ImageNet(tmp_path, subset=subset)


@pytest.mark.parametrize("file", ["ILSVRC2012_validation_ground_truth.txt", "meta.mat"])
def test_one_folder_needs_the_development_kit(tmp_path, seed, file):
    tiny_imagenet.imagenet_flat(tmp_path, random.Random(seed))
    (tmp_path / DEVKIT / file).unlink()
    with pytest.raises(InputError, match=file) as caught:
        ImageNet(tmp_path).setup()
    assert ImageNet.address in str(caught.value)


def test_an_image_without_ground_truth_is_named(tmp_path, seed):
    tiny_imagenet.imagenet_flat(tmp_path, random.Random(seed))
    tiny_files.save(tmp_path / "val/ILSVRC2012_val_00000013.JPEG", random.Random(seed))
    with pytest.raises(InputError, match="12 lines and ILSVRC2012_val_00000013"):
        ImageNet(tmp_path).setup()


@pytest.mark.parametrize("content", ["2000\n", "one\n"])
def test_ground_truth_that_means_nothing_is_an_error(tmp_path, seed, content):
    tiny_imagenet.imagenet_flat(tmp_path, random.Random(seed))
    (tmp_path / DEVKIT / "ILSVRC2012_validation_ground_truth.txt").write_text(content * 12)
    with pytest.raises(InputError, match="ILSVRC ids"):
        ImageNet(tmp_path).setup()


def test_synsets_of_another_set_are_an_error(tmp_path, seed):
    tiny_imagenet.imagenet_flat(tmp_path, random.Random(seed))
    tiny_imagenet.write_meta(tmp_path / DEVKIT / "meta.mat", [f"n9{i:07d}" for i in range(1000)])
    with pytest.raises(InputError, match="n9"):
        ImageNet(tmp_path).setup()


def test_meta_that_is_no_mat_file_is_an_error(tmp_path, seed):
    tiny_imagenet.imagenet_flat(tmp_path, random.Random(seed))
    (tmp_path / DEVKIT / "meta.mat").write_text("not found " * 100)
    with pytest.raises(InputError, match=r"meta\.mat"):
        ImageNet(tmp_path).setup()


def test_an_image_that_is_there_twice_is_refused(tmp_path, seed):
    tiny = tiny_imagenet.imagenet_folders(tmp_path, random.Random(seed))
    key, (label, _) = next(iter(tiny.truth.items()))
    other = ImageNet.synsets[(label + 1) % 1000]
    tiny_files.save(tmp_path / "val" / other / key, random.Random(seed))
    twice = f"{key} 2 times"
    with warnings.catch_warnings(action="ignore"), pytest.raises(InputError, match=twice):
        ImageNet(tmp_path, subset=None).setup()
