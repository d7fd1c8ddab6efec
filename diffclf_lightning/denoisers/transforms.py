"""Image transforms that belong to models: a PIL image becomes 8-bit pixels of the model's size.

Pixels stay ``uint8`` until they are on the device: a quarter of the bytes to move, and no
precision plugin rounds them on the way.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diffclf_lightning.images import MODES


class CenterCrop:
    """Resize the short side to ``size`` (bicubic), then crop the centre (Stable Diffusion).

    Args:
        size: Side of the result in pixels.
        channels: 1 for grey, 3 for RGB.
    """

    def __init__(self, size: int, channels: int = 3) -> None:
        self.size, self.channels = size, channels

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, channels={self.channels})"

    def resize(self, image: Image.Image) -> Image.Image:
        """The image with its short side at ``size``."""
        return _resize_short_side(image, self.size)

    def __call__(self, image: Image.Image) -> Tensor:
        """Transform one image.

        Args:
            image: Any PIL image.

        Returns:
            Pixels, uint8, shape ``(channels, size, size)``.
        """
        image = self.resize(image.convert(MODES[self.channels]))
        left, top = (image.width - self.size) // 2, (image.height - self.size) // 2
        image = image.crop((left, top, left + self.size, top + self.size))
        pixels = np.array(image, dtype=np.uint8).reshape(self.size, self.size, self.channels)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


class ADMCrop(CenterCrop):
    """The crop of ADM and DiT: halve with a box filter while the short side is at least twice
    the size, then bicubic to the size, then crop the centre (Dhariwal and Nichol 2021).
    """  # noqa: D205

    def resize(self, image: Image.Image) -> Image.Image:
        """The image with its short side at ``size``."""
        while min(image.size) >= 2 * self.size:
            half = (image.width // 2, image.height // 2)
            image = image.resize(half, resample=Image.Resampling.BOX)
        return _resize_short_side(image, self.size)


def _resize_short_side(image: Image.Image, size: int) -> Image.Image:
    scale = size / min(image.size)
    if scale == 1:
        return image
    resized = (round(image.width * scale), round(image.height * scale))
    return image.resize(resized, resample=Image.Resampling.BICUBIC)
