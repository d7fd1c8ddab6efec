"""Distribution shifts of small grey images, each at a stated strength.

A shift maps pixels in [0, 1] of shape ``(images, height, width)`` to the same. Geometric shifts
interpolate linearly and fill with 0.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Pixels = NDArray[np.float64]


class Shift(ABC):
    """Changes images in one stated way."""

    @abstractmethod
    def __call__(self, images: Pixels) -> Pixels:
        """Shifted images."""


@dataclass(frozen=True)
class Rotation(Shift):
    """Half of the images turned by ``degrees``, every other one the opposite way."""

    degrees: float

    def __call__(self, images: Pixels) -> Pixels:
        turned = [
            ndimage.rotate(image, self.degrees * (-1) ** i, reshape=False, order=1)
            for i, image in enumerate(images)
        ]
        return np.stack(turned)


@dataclass(frozen=True)
class Translation(Shift):
    """Images moved by ``pixels`` along one of the four directions in turn."""

    pixels: float

    def __call__(self, images: Pixels) -> Pixels:
        directions = [(0, 1), (1, 0), (0, -1), (-1, 0)]
        moved = [
            ndimage.shift(image, self.pixels * np.array(directions[i % 4]), order=1)
            for i, image in enumerate(images)
        ]
        return np.stack(moved)


@dataclass(frozen=True)
class Scaling(Shift):
    """Images scaled about their centre by ``factor``."""

    factor: float

    def __call__(self, images: Pixels) -> Pixels:
        centre = (np.array(images.shape[1:]) - 1) / 2
        offset = centre - centre / self.factor
        matrix = np.full(2, 1 / self.factor)
        scaled = [ndimage.affine_transform(image, matrix, offset, order=1) for image in images]
        return np.stack(scaled)


@dataclass(frozen=True)
class GaussianNoise(Shift):
    """Normal noise of standard deviation ``std`` added, then clipped to [0, 1]."""

    std: float
    seed: int = 0

    def __call__(self, images: Pixels) -> Pixels:
        noise = np.random.default_rng(self.seed).normal(scale=self.std, size=images.shape)
        return np.clip(images + noise, 0, 1)


@dataclass(frozen=True)
class Blur(Shift):
    """Gaussian blur of standard deviation ``sigma`` pixels."""

    sigma: float

    def __call__(self, images: Pixels) -> Pixels:
        blurred: Pixels = ndimage.gaussian_filter(images, (0, self.sigma, self.sigma))
        return blurred


@dataclass(frozen=True)
class Contrast(Shift):
    """Distance from mid-grey multiplied by ``factor``."""

    factor: float

    def __call__(self, images: Pixels) -> Pixels:
        return 0.5 + self.factor * (images - 0.5)


@dataclass(frozen=True)
class Occlusion(Shift):
    """A black square of side ``size`` at a random place, drawn from the seed."""

    size: int
    seed: int = 0

    def __call__(self, images: Pixels) -> Pixels:
        occluded = images.copy()
        _, height, width = images.shape
        places = np.random.default_rng(self.seed).integers(
            (height - self.size + 1, width - self.size + 1), size=(len(images), 2)
        )
        for image, (top, left) in zip(occluded, places, strict=True):
            image[top : top + self.size, left : left + self.size] = 0
        return occluded
