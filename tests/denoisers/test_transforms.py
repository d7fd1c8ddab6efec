import numpy as np
import pytest
import torch
from PIL import Image

from diffclf_lightning.denoisers import ADMCrop, CenterCrop


def picture(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("crop", [CenterCrop(16), ADMCrop(16)])
@pytest.mark.parametrize("size", [(16, 16), (40, 20), (17, 90), (5, 8), (64, 64)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
def test_every_image_becomes_rgb_of_the_size(crop, size, mode):
    pixels = crop(picture(*size).convert(mode))
    assert pixels.shape == (3, 16, 16)
    assert pixels.dtype == torch.uint8


def test_image_of_the_size_is_untouched():
    image = picture(16, 16)
    expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(CenterCrop(16)(image), expected)
    assert torch.equal(ADMCrop(16)(image), expected)


def test_centre_is_kept():
    image = Image.new("RGB", (48, 16))
    image.paste((255, 0, 0), (16, 0, 32, 16))
    pixels = CenterCrop(16)(image)
    assert pixels[0].unique().tolist() == [255]
    assert pixels[1:].unique().tolist() == [0]


def test_adm_halves_with_a_box_filter():
    """Written out: means of 2x2 blocks, until the short side is below twice the size."""
    image = picture(64, 64)
    blocks = np.asarray(image, dtype=np.float64)
    for _ in range(2):
        side = len(blocks) // 2
        blocks = np.floor(blocks.reshape(side, 2, side, 2, 3).mean(axis=(1, 3)) + 0.5)
    mine = ADMCrop(16)(image).permute(1, 2, 0).numpy().astype(float)
    assert np.abs(mine - blocks).max() <= 2  # Pillow rounds after each axis
