import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import FileImages, ImageFolder, ImageSet
from diffclf_lightning.datamodules.sets import damaged_files
from diffclf_lightning.denoisers import ResizeCenterCrop


def truncated(suffix):
    def write(file):
        noise = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
        whole = file.with_name(f"whole{suffix}")
        Image.fromarray(noise).save(whole)
        file.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        whole.unlink()

    return write


DAMAGES = {
    "half-a.jpg": truncated(".jpg"),
    "half-a.png": truncated(".png"),
    "text.jpg": lambda file: file.write_text("<html>not found</html>"),
    "empty.png": lambda file: file.touch(),
    "head-only.jpg": lambda file: file.write_bytes(b"\xff\xd8\xff\xe0"),
}


@pytest.fixture(params=DAMAGES)
def damaged(request, tmp_path):
    """A folder of two classes; the second of four images is damaged."""
    for name in ("cat/1.png", "cat/9.png", "dog/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (10, 20, 30)).save(tmp_path / name)
    file = tmp_path / "cat" / f"2-{request.param}"
    DAMAGES[request.param](file)
    return file


def images(file, **kwargs):
    module = ImageFolder(file.parent.parent, batch_size=4, **kwargs)
    module.transform = ResizeCenterCrop(8)
    return module.test_dataloader()["folder"].dataset


def test_a_corrupt_image_stops_the_run_before_it_begins_and_is_named(damaged):
    with pytest.raises(InputError, match=r"1 cannot.*on_corrupt='skip'") as caught:
        ImageFolder(damaged.parent.parent).setup()
    assert str(damaged) in str(caught.value)


def test_a_corrupt_image_stops_the_run_when_it_is_met(damaged):
    """What looks whole at its end may still be damaged."""
    with pytest.raises(InputError, match="on_corrupt='skip'") as caught:
        FileImages([damaged], [0], ["x"])[0]
    assert str(damaged) in str(caught.value)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif"])
def test_something_behind_the_end_of_a_sound_file_does_no_harm(tmp_path, name):
    Image.new("RGB", (16, 16)).save(tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"x" * 100)
    assert damaged_files([tmp_path / name]) == []


def test_a_skipped_image_is_black_and_is_named_but_keeps_its_label_and_key(damaged):
    found = images(damaged, on_corrupt="skip")
    with pytest.warns(UserWarning, match="left out") as caught:
        sample = found[1]
    assert (sample["label"], sample["readable"]) == (0, False)
    assert sample["key"] == found.keys[1] == f"cat/{damaged.name}"
    assert sample["image"].shape == (3, 8, 8)
    assert sample["image"].dtype == torch.uint8
    assert not sample["image"].any()
    assert any(str(damaged) in str(warning.message) for warning in caught)


def test_sound_images_are_as_they_were(damaged):
    found = images(damaged, on_corrupt="skip")
    with warnings.catch_warnings(action="error"):
        sound = [found[i] for i in (0, 2, 3)]
    assert [sample["label"] for sample in sound] == [0, 0, 1]
    assert all(sample["readable"] for sample in sound)
    for pixels in (sample["image"] for sample in sound):
        assert (pixels[0] == 10).all()
        assert (pixels[2] == 30).all()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_batch_with_a_skipped_image_is_whole(damaged, num_workers):
    module = ImageFolder(
        damaged.parent.parent, batch_size=4, on_corrupt="skip", num_workers=num_workers
    )
    module.set_default_transform(ResizeCenterCrop(8))
    with warnings.catch_warnings(action="ignore"):
        [batch] = module.test_dataloader()["folder"]
    assert batch["image"].shape == (4, 3, 8, 8)
    assert batch["image"].dtype == torch.uint8
    assert batch["label"].tolist() == [0, 0, 0, 1]
    assert batch["readable"].tolist() == [True, False, True, True]
    assert batch["key"] == ["cat/1.png", f"cat/{damaged.name}", "cat/9.png", "dog/1.png"]


def test_an_image_that_vanished_is_named(tmp_path):
    with pytest.raises(InputError, match="gone\\.jpg"):
        FileImages([tmp_path / "gone.jpg"], [0], ["gone.jpg"])[0]


def test_a_set_that_leaves_decoding_for_later_is_checked_too(tmp_path):
    class Lazy(ImageSet):
        def image(self, index):
            return Image.open(tmp_path / "half.jpg")

    truncated(".jpg")(tmp_path / "half.jpg")
    with pytest.raises(InputError, match="got own/half"):
        Lazy([0], keys=["own/half"])[0]


def test_a_key_is_the_position_where_a_set_names_none():
    class Black(ImageSet):
        def image(self, index):
            return Image.new("RGB", (4, 4))

    unnamed = Black([7, 5])
    assert [unnamed[i]["key"] for i in range(2)] == ["0", "1"]
    assert [unnamed[i]["label"] for i in range(2)] == [7, 5]
    assert unnamed[0]["image"].size == (4, 4)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_images_of_every_mode_become_rgb(tmp_path, mode):
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new("RGB", (4, 4), (255, 255, 255)).convert(mode).save(tmp_path / f"a.{suffix}")
    image = FileImages([tmp_path / f"a.{suffix}"], [0], ["a"])[0]["image"]
    assert image.mode == "RGB"
    assert np.asarray(image).min() >= 250
