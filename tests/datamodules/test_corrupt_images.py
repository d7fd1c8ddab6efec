import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import FileImages, ImageFolder, ImageSet
from diffclf_lightning.datamodules.sets import damaged_files
from diffclf_lightning.denoisers import CenterCrop


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
    module.transform = CenterCrop(8)
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


def test_a_skipped_image_is_black_has_label_minus_one_and_is_named(damaged):
    with pytest.warns(UserWarning, match="left out") as caught:
        image, label = images(damaged, on_corrupt="skip")[1]
    assert label == -1
    assert image.shape == (3, 8, 8)
    assert image.dtype == torch.uint8
    assert not image.any()
    assert any(str(damaged) in str(warning.message) for warning in caught)


def test_sound_images_are_as_they_were(damaged):
    found = images(damaged, on_corrupt="skip")
    with warnings.catch_warnings(action="error"):
        sound = [found[i] for i in (0, 2, 3)]
    assert [label for _, label in sound] == [0, 0, 1]
    assert all((image[0] == 10).all() and (image[2] == 30).all() for image, _ in sound)


def test_labels_of_the_set_stay_true_when_an_image_is_skipped(damaged):
    found = images(damaged, on_corrupt="skip")
    with pytest.warns(UserWarning, match="left out"):
        found[1]
    assert found.labels == [0, 0, 0, 1]


def test_a_batch_with_a_skipped_image_is_whole(damaged):
    module = ImageFolder(damaged.parent.parent, batch_size=4, on_corrupt="skip")
    module.transform = CenterCrop(8)
    with pytest.warns(UserWarning, match="left out"):
        [(batch, labels)] = module.test_dataloader()["folder"]
    assert batch.shape == (4, 3, 8, 8)
    assert labels.tolist() == [0, -1, 0, 1]


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


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_images_of_every_mode_become_rgb(tmp_path, mode):
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new("RGB", (4, 4), (255, 255, 255)).convert(mode).save(tmp_path / f"a.{suffix}")
    image, _ = FileImages([tmp_path / f"a.{suffix}"], [0], ["a"])[0]
    assert image.mode == "RGB"
    assert np.asarray(image).min() >= 250
