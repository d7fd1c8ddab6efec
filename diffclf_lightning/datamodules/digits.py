"""scikit-learn's handwritten digits, with shifted and printed test sets beside the held-out one.

1,797 images of 8x8 pixels in 17 grey levels (UCI Optical Recognition of Handwritten Digits, CC BY
4.0), shipped in scikit-learn's wheel. The file runs writer by writer, so that the last 500 images
are mostly of writers that the first 1,297 do not show.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader

from diffclf_lightning.datamodules.augmentation import Augmentation
from diffclf_lightning.datamodules.base import ImageDataModule, ImageSet
from diffclf_lightning.datamodules.checks import chosen_sets
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
from diffclf_lightning.datamodules.subset import few_shot
from diffclf_lightning.errors import InputError
from diffclf_lightning.extras import needed
from diffclf_lightning.ranges import check_whole

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
        keys: A stable name for each image. Defaults to None: its position.
        candidate_labels: See :class:`ImageSet`. Defaults to None: all labels.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        labels: Sequence[int],
        keys: Sequence[str] | None = None,
        candidate_labels: Sequence[int] | None = None,
    ) -> None:
        super().__init__(labels, candidate_labels, keys)
        self.pixels = pixels

    def image(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index])


class Digits(ImageDataModule):
    """The digits: train on the first 1,297 images, test on the last 500 and on shifts of them.

    The keys of test images are their positions in scikit-learn's file, ``"1297"`` to ``"1796"``;
    those of printed digits are the font and the digit.

    Args:
        test_sets: Names of the test sets: ``digits`` (held out), ``fonts`` (printed digits), the
            names in ``SHIFTS``, or ``all``. Defaults to ``digits`` alone.
        batch_size: Images in a batch. Defaults to 64.
        num_workers: Worker processes that load images. Defaults to 0: the process itself.
        num_test: Number of held-out images to use, the first ones of the file. Defaults to 500.
        augment: Share of the training images to which a random affine map is applied (12 degrees,
            10% scale, shear, half a pixel). Defaults to 0.7.
        repeats: Passes over the training images in one epoch. Defaults to 1.
        num_train: Number of training images to use, evenly spaced in the file. Defaults to 1297.
        shift: Shift of the images to train on, a name in ``SHIFTS``. Defaults to None: none.
        shots: Number of images of each class to train on. Defaults to None: all.
        seed: Chooses these. Defaults to 0.

    Raises:
        InputError: If an argument is out of range, or a test set is unknown.
    """

    classnames = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

    def __init__(
        self,
        test_sets: Sequence[str] = (HELD_OUT,),
        batch_size: int = 64,
        num_workers: int = 0,
        num_test: int = 500,
        augment: float = 0.7,
        repeats: int = 1,
        num_train: int = NUM_TRAIN,
        shift: str | None = None,
        shots: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, num_workers)
        self.names = chosen_sets(test_sets, [HELD_OUT, *SHIFTS, FONTS])
        half_a_pixel = 0.5 / SIDE
        self.augmentation = Augmentation(share=augment, shift=half_a_pixel, padding="zeros")
        self.repeats = repeats
        bunch = needed("sklearn.datasets", "digits").load_digits()
        self.images = np.asarray(bunch.images) / LEVELS
        self.labels = [int(label) for label in bunch.target]
        held_out = len(self.labels) - NUM_TRAIN
        limits = [("num_test", num_test, held_out), ("num_train", num_train, NUM_TRAIN)]
        for name, value, most in limits:
            check_whole(name, value)
            if not 1 <= value <= most:
                raise InputError(
                    f"Expected argument `{name}` to be from 1 to {most}, but got {value}."
                )
        self.num_test, self.num_train = num_test, num_train
        if shift is not None and shift not in SHIFTS:
            raise InputError(
                f"Expected argument `shift` to be one of {', '.join(SHIFTS)}, but got {shift!r}."
            )
        self.shift = shift
        self.chosen = np.arange(num_train) * NUM_TRAIN // num_train
        if shots is not None:
            labels = [self.labels[place] for place in self.chosen]
            self.chosen = self.chosen[few_shot(list(map(str, self.chosen)), labels, shots, seed)]

    def image_shape(self) -> tuple[int, int]:
        """Channels and side of the images."""
        return 1, SIDE

    def test_sets(self) -> dict[str, ImageSet]:
        return {name: self._test_set(name) for name in self.names}

    def train_dataloader(self) -> DataLoader[Any]:
        """A loader of shuffled, augmented training images; drops a last, smaller batch."""
        pixels = self.images[:NUM_TRAIN]
        if self.shift is not None:
            pixels = SHIFTS[self.shift](pixels)
        repeated = np.tile(self.chosen, self.repeats)
        images = GreyImages(to_bytes(pixels[repeated]), [self.labels[i] for i in repeated])
        collate = self.augmentation.collate
        drop = len(images) > self.batch_size
        return self.loader(images, shuffle=True, drop_last=drop, collate_fn=collate)

    def val_dataloader(self) -> DataLoader[Any]:
        """A loader of 300 training images turned by 10 degrees: the test images stay unseen."""
        chosen = np.arange(0, NUM_TRAIN, NUM_TRAIN // 300)[:300]
        pixels = to_bytes(Rotation(degrees=10)(self.images[chosen]))
        return self.loader(GreyImages(pixels, [self.labels[i] for i in chosen]))

    def _test_set(self, name: str) -> ImageSet:
        if name == FONTS:
            files = font_files()
            printed = np.concatenate([render_digits(file) for file in files]) / LEVELS
            keys = [f"{file.stem}/{digit}" for file in files for digit in range(10)]
            return GreyImages(to_bytes(printed), list(range(10)) * len(files), keys)
        span = slice(NUM_TRAIN, NUM_TRAIN + self.num_test)
        images = self.images[span]
        if name != HELD_OUT:
            images = SHIFTS[name](images)
        keys = [str(i) for i in range(span.start, span.stop)]
        return GreyImages(to_bytes(images), self.labels[span], keys)


def to_bytes(images: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Levels in [0, 1] as 8-bit grey levels."""
    return np.clip(np.round(images * 255), 0, 255).astype(np.uint8)
