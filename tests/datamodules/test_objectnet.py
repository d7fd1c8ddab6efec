import json
import random
import shutil
import warnings

import numpy as np
import pytest
import tiny_imagenet

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import ObjectNet

MAPPINGS = [
    "folder_to_objectnet_label.json",
    "objectnet_to_imagenet_1k.json",
    "pytorch_to_imagenet_2012_id.json",
    "imagenet_to_label_2012_v2",
]


@pytest.fixture
def tiny(tmp_path, seed):
    return tiny_imagenet.objectnet(tmp_path, random.Random(seed))


@pytest.fixture
def images(tiny, tmp_path):
    with warnings.catch_warnings(action="ignore"):
        return ObjectNet(tmp_path).test_sets()["objectnet"]


def mappings(root):
    return root / "objectnet-1.0/mappings"


def test_objects_that_imagenet_lacks_are_left_out(images):
    assert {key.split("/")[0] for key in images.keys} == {
        "alarm_clock",
        "chair",
        "drying_rack_for_dishes",
        "wok",
    }


def test_labels_are_positions_among_the_sorted_objects(images):
    names = {ObjectNet.classnames[label] for label in images.labels}
    assert names == {"Alarm clock", "Chair", "Drying rack for plates", "Wok"}


def test_no_pixel_of_the_red_border_is_left_and_no_other_is_lost(images, tiny):
    for index, key in enumerate(images.keys):
        image = images[index]["image"]
        assert image.size == (20, 30)
        assert (np.asarray(image) == tiny.truth[key][1]).all()


def test_imagenet_ids_follow_the_mappings(tiny, tmp_path):
    ids = ObjectNet(tmp_path).imagenet_ids
    texts = json.loads((mappings(tmp_path) / "objectnet_to_imagenet_1k.json").read_text())
    assert len(ids) == 113
    assert sum(map(len, ids)) == 117
    for name, own in zip(ObjectNet.classnames, ids, strict=True):
        # The tiny copy calls ImageNet's class 7 "thing 7, also called thing 7".
        expected = [int(text.rsplit(" ", 1)[1]) for text in texts[name].split("; ")]
        assert own == sorted(expected)


def test_root_may_be_the_data_sets_own_folder(images, tmp_path):
    with warnings.catch_warnings(action="ignore"):
        own = ObjectNet(tmp_path / "objectnet-1.0").test_sets()["objectnet"]
    assert own.keys == images.keys


@pytest.mark.parametrize("file", MAPPINGS)
def test_a_missing_mapping_is_named_with_the_address(tiny, tmp_path, file):
    (mappings(tmp_path) / file).unlink()
    with pytest.raises(InputError, match=file) as caught:
        _ = ObjectNet(tmp_path).imagenet_ids, ObjectNet(tmp_path).setup()
    assert ObjectNet.address in str(caught.value)


@pytest.mark.parametrize("change", ["drop", "rename"])
def test_other_objects_than_the_published_ones_are_an_error(tiny, tmp_path, change):
    file = mappings(tmp_path) / "objectnet_to_imagenet_1k.json"
    objects = json.loads(file.read_text())
    value = objects.pop("Wok")
    file.write_text(json.dumps(objects | ({"Pan": value} if change == "rename" else {})))
    with pytest.raises(InputError, match="Wok"):
        ObjectNet(tmp_path).setup()


def test_a_mapping_that_is_no_json_is_named(tiny, tmp_path):
    (mappings(tmp_path) / MAPPINGS[0]).write_text("{")
    with pytest.raises(InputError, match=MAPPINGS[0]):
        ObjectNet(tmp_path).setup()


def test_an_unknown_imagenet_label_is_named(tiny, tmp_path):
    (mappings(tmp_path) / "imagenet_to_label_2012_v2").write_text("thing\n" * 1000)
    with pytest.raises(InputError, match="thing"):
        _ = ObjectNet(tmp_path).imagenet_ids


def test_mappings_without_images_are_an_error(tiny, tmp_path):
    shutil.rmtree(tmp_path / "objectnet-1.0/images")
    with pytest.raises(InputError, match="no images"):
        ObjectNet(tmp_path).setup()
