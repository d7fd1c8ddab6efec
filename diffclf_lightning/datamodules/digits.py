"""scikit-learn's handwritten digits, with shifted and printed test sets beside the held-out one.

1,797 images of 8x8 pixels in 17 grey levels (UCI Optical Recognition of Handwritten Digits, CC BY
4.0), shipped in scikit-learn's wheel. The file runs writer by writer, so that the last 500 images
are mostly of writers that the first 1,297 do not show.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from diffclf_lightning.datamodules.base import ImageDataModule, ImageSet
from diffclf_lightning.datamodules.fonts import font_files, render_digits
from diffclf_lightning.datamodules.shifts import (
    Blur,
    Contrast,
    GaussianNoise,
    Occlusion,
    Rotation,
    Scaling,
    Shift,
    Translation,
)
from diffclf_lightning.errors import InputError

NUM_TRAIN = 1297
LEVELS = 16
SIDE = 8

SHIFTS: dict[str, Shift] = {
    "rotation_10": Rotation(degrees=10),
    "rotation_20": Rotation(degrees=20),
    "rotation_30": Rotation(degrees=30),
    "translation_1": Translation(pixels=1),
    "scaling_0.75": Scaling(factor=0.75),
    "noise_0.125": GaussianNoise(std=0.125),
    "noise_0.25": GaussianNoise(std=0.25),
    "blur_0.75": Blur(sigma=0.75),
    "contrast_0.5": Contrast(factor=0.5),
    "occlusion_3": Occlusion(size=3),
}
HELD_OUT, FONTS = "digits", "fonts"


class GreyImages(ImageSet):
    """Grey images held in memory.

    Args:
        pixels: Grey levels, uint8, shape ``(images, height, width)``.
        labels: Label of each image.
        keys: A name for each image.
    """

    def __init__(
        self, pixels: NDArray[np.uint8], labels: Sequence[int], keys: Sequence[str] | None = None
    ) -> None:
        super().__init__(labels, keys=keys)
        self.pixels = pixels

    def image(self, index: int) -> Image.Image:
        """See :meth:`ImageSet.image`."""
        return Image.fromarray(self.pixels[index])


class Digits(ImageDataModule):
    """The digits: train on the first 1,297 images, test on the last 500 and on shifts of them.

    Args:
        test_sets: Names of the test sets to run: ``digits`` (held out), ``fonts`` (printed
            digits), the names in ``SHIFTS``, or ``all``.
        batch_size: Images in a batch.
        num_workers: Worker processes that load images.
        num_test: Use the first so many held-out images only.
        augment: Share of the training images that get a random affine map (12 degrees, 10% scale,
            shear, half a pixel).
        repeats: Passes over the training images in one epoch.
        num_train: Train on so many of the training images, evenly spaced in the file.

    Raises:
        InputError: If a test set is unknown, ``num_test`` not from 1 to 500, or ``num_train`` not
            from 1 to 1297.
    """

    classnames: Sequence[str] = tuple("zero one two three four five six seven eight nine".split())

    def __init__(
        self,
        test_sets: Sequence[str] = (HELD_OUT,),
        batch_size: int = 64,
        num_workers: int = 0,
        num_test: int = 500,
        augment: float = 0.7,
        repeats: int = 1,
        num_train: int = NUM_TRAIN,
    ) -> None:
        super().__init__(batch_size, num_workers)
        known = [HELD_OUT, *SHIFTS, FONTS]
        names = known if list(test_sets) == ["all"] else list(test_sets)
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise InputError(
                f"Expected argument `test_sets` to name some of {', '.join(known)}, or all, but got "
                f"{', '.join(unknown) or 'nothing'}."
            )
        self.names, self.augment, self.repeats = names, augment, repeats
        bunch = load_digits()
        self.images = np.asarray(bunch.images) / LEVELS
        self.labels = [int(label) for label in bunch.target]
        held_out = len(self.labels) - NUM_TRAIN
        if not 1 <= num_test <= held_out:
            raise InputError(
                f"Expected argument `num_test` to be from 1 to {held_out}, but got {num_test}."
            )
        if not 1 <= num_train <= NUM_TRAIN:
            raise InputError(
                f"Expected argument `num_train` to be from 1 to {NUM_TRAIN}, but got {num_train}."
            )
        self.num_test, self.num_train = num_test, num_train

    def test_sets(self) -> dict[str, ImageSet]:
        """See :meth:`ImageDataModule.test_sets`."""
        return {name: self._test_set(name) for name in self.names}

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Shuffled, augmented training images; the last, smaller batch is dropped."""
        chosen = np.arange(self.num_train) * NUM_TRAIN // self.num_train
        repeated = np.tile(chosen, self.repeats)
        images = GreyImages(_to_bytes(self.images[repeated]), [self.labels[i] for i in repeated])
        return self.loader(images, shuffle=True, drop_last=True, collate_fn=self._augmented)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Copies of 300 training images turned by 10 degrees: the test images stay unseen."""
        chosen = np.arange(0, NUM_TRAIN, NUM_TRAIN // 300)[:300]
        pixels = _to_bytes(Rotation(degrees=10)(self.images[chosen]))
        return self.loader(GreyImages(pixels, [self.labels[i] for i in chosen]))

    def _test_set(self, name: str) -> ImageSet:
        if name == FONTS:
            files = font_files()
            printed = np.concatenate([render_digits(file) for file in files]) / LEVELS
            keys = [f"{file.stem}/{digit}" for file in files for digit in range(10)]
            return GreyImages(_to_bytes(printed), list(range(10)) * len(files), keys)
        span = slice(NUM_TRAIN, NUM_TRAIN + self.num_test)
        images = self.images[span]
        if name != HELD_OUT:
            images = SHIFTS[name](images)
        keys = [str(i) for i in range(span.start, span.stop)]
        return GreyImages(_to_bytes(images), self.labels[span], keys)

    def _augmented(self, batch: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        images, labels = default_collate(batch)
        return random_affine(images, self.augment), labels


def random_affine(images: Tensor, share: float) -> Tensor:
    """Random affine maps of a share of the images.

    Args:
        images: Pixels, uint8, shape ``(batch, channels, height, width)``; maps are the same
            whatever size a model's transform has given them.
        share: Probability that an image is mapped.

    Returns:
        Pixels, uint8, of the same shape.
    """
    batch, half_a_pixel = len(images), 0.5 * 2 / SIDE
    spread = torch.tensor([12 * torch.pi / 180, 0.1, 0.1, half_a_pixel, half_a_pixel])
    draws = (torch.rand(batch, 5) * 2 - 1) * spread
    angle, scale, shear, right, down = (draws * (torch.rand(batch, 1) < share)).unbind(dim=1)
    cos, sin, zoom = angle.cos(), angle.sin(), 1 + scale
    rows = [
        torch.stack([cos * zoom, (shear * cos - sin) * zoom, right], dim=1),
        torch.stack([sin * zoom, (shear * sin + cos) * zoom, down], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    mapped = F.grid_sample(images.float(), grid, align_corners=False)
    return mapped.round().to(torch.uint8)


def _to_bytes(images: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.round(images * 255), 0, 255).astype(np.uint8)
