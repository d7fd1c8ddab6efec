"""Sets of images and captions, in the layouts in which they are published."""

import json
import random as randoms

import numpy as np
import pytest
import tiny_examples
from torchvision.transforms.functional import pil_to_tensor

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import ImageCaptions, SugarCrepe, WhatsUp, Winoground


@pytest.fixture
def random(seed):
    return randoms.Random(seed)


def batches(module):
    module.set_default_transform(pil_to_tensor)
    (loader,) = module.test_dataloader().values()
    return list(loader)


@pytest.mark.parametrize("layout", ["winoground_parquet", "winoground_files"])
def test_winoground(layout, tmp_path, random):
    rows = tiny_examples.winoground_rows(random)
    getattr(tiny_examples, layout)(tmp_path, rows)
    with pytest.warns(UserWarning, match="Expected the 400 test images of Winoground, but got 5"):
        (batch,) = batches(Winoground(tmp_path))
    assert batch["tag"] == [row["collapsed_tag"] for row in rows]
    assert batch["captions"] == [[row["caption_0"], row["caption_1"]] for row in rows]
    for images, row in zip(batch["images"], rows, strict=True):
        for image, name in zip(images, ("image_0", "image_1"), strict=True):
            assert (image.permute(1, 2, 0).numpy() == np.asarray(row[name])).all()


def test_sugarcrepe(tmp_path, random):
    kinds = tiny_examples.sugarcrepe(tmp_path, random)
    (batch,) = batches(SugarCrepe(tmp_path))
    expected = {f"{k}/{i}": one for k, every in kinds.items() for i, one in every.items()}
    assert set(batch["key"]) == set(expected)
    for key, tag, captions in zip(batch["key"], batch["tag"], batch["captions"], strict=True):
        assert captions == [expected[key]["caption"], expected[key]["negative_caption"]]
        assert key.startswith(f"{tag}/")
    (some,) = batches(SugarCrepe(tmp_path, kinds=["swap_obj"]))
    assert set(some["tag"]) == {"swap_obj"}
    with pytest.raises(InputError, match=r"got no replace_rel\.json"):
        batches(SugarCrepe(tmp_path, kinds=["replace_rel"]))
    with pytest.raises(InputError, match="`kinds` to name some of add_att"):
        SugarCrepe(tmp_path, kinds=["swap"])


def test_whats_up(tmp_path, random):
    entries = tiny_examples.whatsup(tmp_path, random)
    (single,) = batches(WhatsUp(tmp_path))
    assert [len(images) for images in single["images"]] == [1] * 8
    assert single["captions"] == [entry["caption_options"] for entry in entries]
    (grouped,) = batches(WhatsUp(tmp_path, grouped=True))
    assert [len(images) for images in grouped["images"]] == [4, 4]
    for place, captions in enumerate(grouped["captions"]):
        own = [entry["caption_options"][0] for entry in entries[4 * place : 4 * place + 4]]
        assert captions == own
    with pytest.raises(InputError, match=r"controlled_clevr_dataset\.json"):
        batches(WhatsUp(tmp_path, subset="B"))


def write(tmp_path, *lines):
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "own.jsonl"


def test_a_file_of_ones_own(tmp_path, random):
    for name in "abc":
        tiny_examples.picture(random).save(tmp_path / f"{name}.png")
    file = write(
        tmp_path,
        {"images": ["a.png", "b.png"], "captions": ["of a", "of b", "of c"], "tag": "x"},
        {"images": ["c.png"], "captions": ["of c", "of a"], "key": "last"},
    )
    module = ImageCaptions(file)
    (batch,) = batches(module)
    assert list(module.test_sets()) == ["own"]
    assert [len(images) for images in batch["images"]] == [2, 1]
    assert batch["key"] == ["1", "last"]
    assert batch["tag"] == ["x", ""]
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"b\.png"):
        batches(ImageCaptions(file))
    with pytest.warns(UserWarning, match="It is left out"):
        (batch,) = batches(ImageCaptions(file, on_corrupt="skip"))
    assert batch["readable"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], "Expected JSON in line 1"),
        (["[1]"], "Expected an object in line 1"),
        (['{"images": "a.png", "captions": ["x", "y"]}'], "`images` in line 1"),
        (['{"images": ["a.png"], "captions": []}'], "`captions` in line 1"),
        (['{"images": ["a.png"], "captions": ["x", "y"]}'], "1 of them are missing"),
        ([""], "got none"),
    ],
)
def test_bad_lines_are_named(lines, message, tmp_path):
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError, match=message):
        ImageCaptions(tmp_path / "own.jsonl").setup()


def test_keys_twice(tmp_path, random):
    tiny_examples.picture(random).save(tmp_path / "a.png")
    line = {"images": ["a.png"], "captions": ["x", "y"], "key": "k"}
    with pytest.raises(InputError, match="'k' twice"):
        ImageCaptions(write(tmp_path, line, line)).setup()


@pytest.mark.parametrize("module", [Winoground, SugarCrepe, WhatsUp])
def test_an_empty_folder(module, tmp_path):
    with pytest.raises(InputError, match="argument `root`"):
        module(tmp_path).setup()


def test_winoground_from_the_hub_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"hf auth login.*`root`"):
        Winoground().prepare_data()
