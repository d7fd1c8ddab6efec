"""Image transforms that belong to models: a PIL image becomes 8-bit pixels of the model's size.

Pixels stay ``uint8`` until they are on the device: a quarter of the bytes to move, and no
precision plugin rounds them on the way.
"""

from abc import ABC, abstractmethod

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from diffclf_lightning.images import MODES, as_shown


class SquareCrop(ABC):
    """Base of the transforms: converts to grey or RGB, then cuts a square around the centre.

    Args:
        size: Side of the result in pixels.
        channels: 1 for grey, 3 for RGB. Defaults to 3.
    """

    def __init__(self, size: int, channels: int = 3) -> None:
        self.size, self.channels = size, channels

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, channels={self.channels})"

    @abstractmethod
    def crop(self, image: Image.Image) -> Image.Image:
        """A grey or RGB image as a square of side ``size`` in the same mode."""

    def __call__(self, image: Image.Image) -> Tensor:
        """Pixels of an image of any mode and size, uint8, shape ``(channels, size, size)``."""
        square = self.crop(as_shown(image).convert(MODES[self.channels]))
        pixels = np.array(square, dtype=np.uint8).reshape(self.size, self.size, self.channels)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


class ResizeCenterCrop(SquareCrop):
    """The crop of Stable Diffusion's evaluation: torchvision's ``Resize`` and ``CenterCrop``.

    The short side is resized to ``size`` (bicubic) and the long side truncated to whole pixels;
    then the centre is cropped, its offset rounded half to even.
    """

    def crop(self, image: Image.Image) -> Image.Image:
        resized = tv.resize(image, [self.size], InterpolationMode.BICUBIC)
        square: Image.Image = tv.center_crop(resized, [self.size])
        return square


class ADMCrop(SquareCrop):
    """The crop of ADM and DiT (Dhariwal and Nichol 2021).

    The image is halved with a box filter while its short side is at least twice ``size``, then
    resized to ``size`` (bicubic) with the long side rounded, then cropped to the centre.
    """

    def crop(self, image: Image.Image) -> Image.Image:
        while min(image.size) >= 2 * self.size:
            half = (image.width // 2, image.height // 2)
            image = image.resize(half, resample=Image.Resampling.BOX)
        scale = self.size / min(image.size)
        resized = (round(image.width * scale), round(image.height * scale))
        image = image.resize(resized, resample=Image.Resampling.BICUBIC)
        left, top = (image.width - self.size) // 2, (image.height - self.size) // 2
        return image.crop((left, top, left + self.size, top + self.size))
