import random

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from diffclf_lightning.denoisers import ADMCrop, ResizeCenterCrop

CROPS = [ResizeCenterCrop(16), ADMCrop(16)]
MODES = ["RGB", "L", "RGBA", "P", "CMYK", "1", "LA"]
# Ranges of the short and the long side, and the step between sides, for 0, 1 and 2 halvings.
HALVINGS = [((9, 32), (32, 99), 1), ((32, 64), (64, 150), 2), ((64, 100), (100, 150), 4)]


def picture(width, height, seed=0, levels=(0, 256)):
    pixels = np.random.default_rng(seed).integers(*levels, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def cubic(x):
    """Keys' cubic convolution with a = -1/2."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def bicubic(pixels, width, height):
    """Each axis convolved with the kernel, widened where the axis shrinks, and rounded."""
    for axis, length in ((1, width), (0, height)):
        scale = pixels.shape[axis] / length
        centres = (np.arange(length)[:, None] + 0.5) * scale
        weights = cubic((np.arange(pixels.shape[axis]) + 0.5 - centres) / max(scale, 1))
        weights /= weights.sum(axis=1, keepdims=True)
        moved = np.moveaxis(np.tensordot(weights, pixels, axes=(1, axis)), 0, axis)
        pixels = np.floor(moved + 0.5)
    return pixels


def adm(image, size):
    """The crop of ADM, written out for sides that halve to whole pixels."""
    pixels = np.asarray(image, dtype=float)
    height, width, _ = pixels.shape
    while min(height, width) >= 2 * size:
        height, width = height // 2, width // 2
        pixels = np.floor(pixels.reshape(height, 2, width, 2, 3).mean(axis=(1, 3)) + 0.5)
    short = min(height, width)
    pixels = bicubic(pixels, round(width * size / short), round(height * size / short))
    top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
    return pixels[top : top + size, left : left + size]


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("size", [(16, 16), (40, 20), (17, 90), (5, 8), (64, 64)])
@pytest.mark.parametrize("mode", MODES)
def test_every_image_becomes_rgb_of_the_size(crop, size, mode):
    pixels = crop(picture(*size).convert(mode))
    assert pixels.shape == (3, 16, 16)
    assert pixels.dtype == torch.uint8


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("channels", "taken"), [(3, "RGB"), (1, "L")])
def test_pixels_are_those_of_torchvision(mode, channels, taken, seed):
    rng = random.Random(seed)
    for size in (16, 31, rng.randint(8, 40)):
        crop = ResizeCenterCrop(size, channels)
        theirs = transforms.Compose([
            transforms.Resize(size, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(size),
            transforms.PILToTensor(),
        ])  # fmt: skip
        for _ in range(12):
            image = picture(rng.randint(5, 99), rng.randint(5, 99), rng.randrange(10**6))
            image = image.convert(mode)
            assert torch.equal(crop(image), theirs(image.convert(taken)))


@pytest.mark.parametrize(("short", "long", "step"), HALVINGS)
def test_pixels_of_adm_are_those_of_the_formula(short, long, step, seed):
    """Mid-greys, so that no overshoot is clipped between the axes, whose order
    is Pillow's; each of up to six passes rounds, hence the margin.
    """
    rng = random.Random(seed)
    for _ in range(12):
        sides = [rng.randrange(*short, step), rng.randrange(*long, step)]
        image = picture(*rng.sample(sides, 2), rng.randrange(10**6), levels=(64, 192))
        mine = ADMCrop(16)(image).permute(1, 2, 0).numpy().astype(float)
        assert np.abs(mine - adm(image, 16)).max() <= 4


@pytest.mark.parametrize("crop", CROPS)
def test_image_of_the_size_is_untouched(crop):
    image = picture(16, 16)
    assert torch.equal(crop(image), torch.from_numpy(np.array(image)).permute(2, 0, 1))


@pytest.mark.parametrize("crop", CROPS)
def test_centre_is_kept(crop):
    image = Image.new("RGB", (48, 16))
    image.paste((255, 0, 0), (16, 0, 32, 16))
    pixels = crop(image)
    assert pixels[0].unique().tolist() == [255]
    assert pixels[1:].unique().tolist() == [0]
