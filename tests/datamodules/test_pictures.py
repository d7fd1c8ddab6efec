"""Images of every kind are read as a viewer shows them."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from diffclf_lightning import InputError
from diffclf_lightning.baselines.discriminative import Preprocessing
from diffclf_lightning.datamodules import (
    FileImages,
    ImageFolder,
    IndexedImages,
    PublishedImages,
)
from diffclf_lightning.denoisers import ResizeCenterCrop
from diffclf_lightning.images import as_shown, is_grey, open_image

ORIENTATION = 0x0112
MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"]


def pixels(image):
    return np.asarray(image).astype(int)


def noise(seed, *shape, dtype=np.uint8):
    return np.random.default_rng(seed).integers(np.iinfo(dtype).max, size=shape, dtype=dtype)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("size", [8, 24])
def test_sixteen_bits_become_eight_by_their_depth(tmp_path, seed, suffix, size):
    grey = noise(seed, size, size, dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / f"a.{suffix}")
    shown = open_image(tmp_path / f"a.{suffix}")
    assert shown.mode == "L"
    assert (pixels(shown) == np.round(grey / 257)).all()


def test_floating_point_is_read_from_0_to_1(tmp_path, seed):
    grey = np.random.default_rng(seed).random((6, 5), dtype=np.float32)
    Image.fromarray(grey).save(tmp_path / "a.tif")
    assert (pixels(open_image(tmp_path / "a.tif")) == np.round(grey * 255)).all()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([[0, 255.0]], np.float32), "floating point from 0 to 1.*from 0 to 255"),
        (np.array([[0, np.nan]], np.float32), "from nan"),
        (np.array([[0, 70000]], np.int32), "from 0 to 65535.*70000"),
        (np.array([[-1, 3]], np.int32), "from -1 to 3"),
    ],
)
def test_pixels_without_a_known_range_are_refused(tmp_path, values, said):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=said):
        as_shown(Image.fromarray(values))
    with pytest.raises(InputError, match=f"a.tif.*{said}"):
        FileImages([tmp_path / "a.tif"], [0], ["a"])[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_images_stand_upright(tmp_path, seed, suffix, orientation):
    file, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(noise(seed, 6, 10, 3)).save(file, exif=exif)
    shown, upright = open_image(file), ImageOps.exif_transpose(Image.open(file))
    assert shown.size == ((6, 10) if orientation > 4 else (10, 6))
    assert (pixels(shown) == pixels(upright.convert("RGB"))).all()
    assert (pixels(as_shown(shown)) == pixels(shown)).all()


@pytest.mark.parametrize("background", ["white", "#204060"])
def test_transparent_pixels_lie_on_the_background(tmp_path, seed, background):
    colours, alpha = noise(seed, 9, 7, 3), noise(seed + 1, 9, 7)
    alpha[0] = 255
    behind = np.array([255, 255, 255] if background == "white" else [0x20, 0x40, 0x60])
    share = alpha[..., None] / 255
    expected = colours * share + behind * (1 - share)
    Image.fromarray(np.dstack([colours, alpha])).save(tmp_path / "a.png")
    shown = pixels(open_image(tmp_path / "a.png", background))
    assert np.abs(shown - expected).max() <= 1
    assert (shown[0] == colours[0]).all()


def test_a_transparent_colour_of_a_palette_or_of_grey_shows_the_background(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 10, 10, 0, 0, 90])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png", transparency=1)
    assert pixels(open_image(tmp_path / "p.png")).tolist() == [[[200, 10, 10], [255, 255, 255]]]
    for grey in (np.array([[7, 9]], np.uint8), np.array([[7, 9]], np.uint16)):
        Image.fromarray(grey).save(tmp_path / "g.png", transparency=9)
        shown = open_image(tmp_path / "g.png")
        assert (shown.mode, pixels(shown)[0, 1]) == ("L", 255)
        assert pixels(shown)[0, 0] == (7 if grey.dtype == np.uint8 else 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_grey_stays_exact(seed, mode):
    grey = noise(seed, 16, 16) // 255 * 255 if mode == "1" else noise(seed, 16, 16)
    stored = Image.fromarray(grey)
    stored = stored if mode == "P" else stored.convert(mode)
    if mode == "P":
        stored = Image.frombytes("P", (16, 16), grey.tobytes())
        stored.putpalette([level for level in range(256) for _ in range(3)])
    shown = as_shown(stored)
    assert is_grey(shown)
    assert (pixels(shown.convert("L")) == grey).all()


@pytest.mark.parametrize("mode", MODES)
def test_any_mode_becomes_grey_or_rgb_once_and_for_all(mode):
    shown = as_shown(Image.new(mode, (4, 3)))
    assert shown.mode in ("L", "RGB")
    assert as_shown(shown) is shown


def test_print_colours_are_converted_as_pil_does(tmp_path, seed):
    Image.fromarray(noise(seed, 8, 8, 4), "CMYK").save(tmp_path / "a.jpg")
    expected = Image.open(tmp_path / "a.jpg").convert("RGB")
    assert (pixels(open_image(tmp_path / "a.jpg")) == pixels(expected)).all()


def test_broken_exif_is_no_reason_to_refuse_an_image(tmp_path):
    Image.new("RGB", (4, 3), "red").save(tmp_path / "a.jpg", exif=b"Exif\x00\x00no such thing")
    assert open_image(tmp_path / "a.jpg").size == (4, 3)


def test_models_take_pil_images_of_any_mode_as_they_are_shown(seed):
    grey = noise(seed, 8, 8, dtype=np.uint16)
    seen = Preprocessing(ResizeCenterCrop(8, channels=1), (1, 8, 8), [0.5], [0.5])
    for transform in (ResizeCenterCrop(8, channels=1), ResizeCenterCrop(8), seen):
        shown = transform(Image.fromarray(grey))
        assert torch.equal(shown, torch.from_numpy(np.round(grey / 257)).expand_as(shown).byte())
        clear = transform(Image.new("RGBA", (9, 9), (0, 0, 0, 0)))
        assert (clear == 255).all()


def said(images):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for index in range(len(images)):
            images.image(index)
    return [str(warning.message) for warning in caught]


def test_each_kind_of_conversion_is_said_once_a_set(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    grey = Image.fromarray(np.zeros((4, 4), np.uint16))
    clear, plain = Image.new("RGBA", (4, 4)), Image.new("RGB", (4, 4))
    for i in "12":
        grey.save(tmp_path / f"a{i}.png")
        clear.save(tmp_path / f"b{i}.png")
        plain.save(tmp_path / f"c{i}.jpg", exif=exif)
        plain.quantize().save(tmp_path / f"d{i}.png")
        plain.save(tmp_path / f"e{i}.webp", save_all=True, append_images=[clear])
        plain.convert("CMYK").save(tmp_path / f"f{i}.jpg")
        plain.save(tmp_path / f"g{i}.jpg", "MPO", save_all=True, append_images=[plain])
        clear.convert("RGB").convert("RGBA").save(tmp_path / f"h{i}.png")
    files = sorted(tmp_path.iterdir())
    images = FileImages(files, [0] * len(files), [file.name for file in files])
    expected = ["65535", "transparent", "EXIF", "palette", "several frames", "CMYK"]
    found = said(images)
    assert len(found) == len(expected)
    for letter, what, message in zip("abcdef", expected, found, strict=True):
        assert message.startswith(str(tmp_path / f"{letter}1"))
        assert what in message
    assert said(images) == []


def test_files_that_are_not_read_are_counted_once(tmp_path):
    for name in ("cat/a.png", "dog/a.png", "b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    Image.new("P", (4, 4)).save(tmp_path / "cat/c.gif")
    for name in ("cat/c.HEIC", "dog/d.heic", "dog/Thumbs", ".hidden"):
        (tmp_path / name).touch()
    module = ImageFolder(tmp_path)
    with pytest.warns(UserWarning, match="Left out below") as caught:
        module.setup()
    [message] = [str(warning.message) for warning in caught]
    assert ": 2 .heic, 1 images beside the class folders, 1 .gif, 1 Thumbs" in message
    assert module.test_sets()["folder"].keys == ["cat/a.png", "dog/a.png"]


@pytest.mark.parametrize("background", ["nothing", "#12"])
def test_a_background_that_is_no_colour_is_refused(tmp_path, background):
    with pytest.raises(InputError, match=f"`background`.*'{background}'"):
        ImageFolder(tmp_path, background=background)


def test_published_images_are_as_published_evaluations_read_them(tmp_path, seed):
    """That is PIL's own conversion, also behind the transform of a model."""
    upright = Image.fromarray(noise(seed, 8, 8, 3))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    upright.save(tmp_path / "a.png", exif=exif)
    stored = Image.open(tmp_path / "a.png").convert("RGB")
    crop = ResizeCenterCrop(8, 3)
    own = FileImages([tmp_path / "a.png"], [0], ["a"])
    published = PublishedImages([tmp_path / "a.png"], [0], ["a"])
    indexed = IndexedImages([(Image.open(tmp_path / "a.png").convert("RGB"), 0)], [0])
    turned = np.rot90(np.asarray(stored), 3)
    for images, expected in ((own, turned), (published, stored), (indexed, stored)):
        images.transform = crop
        found = images[0]["image"].permute(1, 2, 0).numpy()
        assert (found == np.asarray(expected)).all()
