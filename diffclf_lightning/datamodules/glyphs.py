"""Characters of the fonts that matplotlib ships: hundreds of classes without a download.

Training is on DejaVu Sans, STIX and, for letters and digits, Computer Modern; tests are on DejaVu
Serif and DejaVu Sans Mono, of which training sees no weight.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader

from diffclf_lightning.datamodules.base import ImageDataModule, ImageSet, Sample
from diffclf_lightning.datamodules.checks import chosen_sets
from diffclf_lightning.datamodules.digits import GreyImages, to_bytes
from diffclf_lightning.datamodules.glyph_fonts import (
    DETAIL,
    HELD_OUT,
    SIDE,
    TRAINING,
    class_characters,
    covers,
    draw,
    reduced,
)
from diffclf_lightning.datamodules.glyph_strokes import Strokes, signed_distances
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

CHARACTERS = class_characters()
GLYPHS = "glyphs"
WEIGHTS = {
    GLYPHS: HELD_OUT,
    "bold": tuple(f"{font}-Bold" for font in HELD_OUT),
    "italic": ("DejaVuSansMono-Oblique", "DejaVuSerif-Italic"),
}
SHIFTS: dict[str, Shift] = {
    "rotation_10": Rotation(degrees=10),
    "rotation_20": Rotation(degrees=20),
    "translation_2": Translation(pixels=2),
    "scaling_0.75": Scaling(factor=0.75),
    "noise_0.25": GaussianNoise(std=0.25),
    "blur_1": Blur(sigma=1.0),
    "contrast_0.5": Contrast(factor=0.5),
    "occlusion_5": Occlusion(size=5),
}


class DrawnGlyphs(ImageSet):
    """Glyphs of the training fonts, each drawn anew in a font and with strokes drawn at random.

    Args:
        labels: Label of each image.
        strokes: The changes.
    """

    def __init__(self, labels: Sequence[int], strokes: Strokes) -> None:
        super().__init__(labels)
        self.strokes = strokes
        drawn = [
            [draw(font, CHARACTERS[label]) for font in TRAINING if covers(font, CHARACTERS[label])]
            for label in range(max(labels) + 1)
        ]
        self._fonts = torch.tensor([len(glyphs) for glyphs in drawn])
        self._first = self._fonts.cumsum(dim=0) - self._fonts
        glyphs = np.concatenate([np.stack(several) for several in drawn])
        self._outlines = torch.from_numpy(signed_distances(glyphs, DETAIL))

    def image(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels([index])[0])

    def pixels(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Images drawn anew, shape ``(images, 16, 16)``."""
        labels = torch.tensor([self.labels[index] for index in indices])
        font = (torch.rand(len(labels)) * self._fonts[labels]).long()
        pixels = self.strokes(self._outlines[self._first[labels] + font], SIDE)
        drawn: NDArray[np.uint8] = pixels[:, 0].numpy()
        return drawn

    def __getitems__(self, indices: list[int]) -> list[Sample]:
        """The samples of a batch, which are much cheaper to draw all at once."""
        labels = [self.labels[index] for index in indices]
        keys = [self.keys[index] for index in indices]
        drawn = GreyImages(self.pixels(indices), labels, keys)
        drawn.transform = self.transform
        return [drawn[place] for place in range(len(indices))]


class Glyphs(ImageDataModule):
    """Characters: train on changed glyphs of some fonts, test on two families held out.

    The key of a test image is the font and the code point, ``"DejaVuSerif/0041"``. Images come in
    an order of which every beginning has both fonts alike, and no class twice before each is there.

    Args:
        test_sets: Names of the test sets: ``glyphs`` (the held-out fonts, upright), ``bold`` and
            ``italic`` (other weights of these, as unseen), the names in ``SHIFTS`` (``glyphs``,
            shifted), or ``all``. Defaults to ``glyphs`` alone.
        batch_size: Images in a batch. Defaults to 64.
        num_workers: Worker processes that load images. Defaults to 0: the process itself.
        num_classes: Number of classes to use, the first ones of a fixed order, in training,
            validation and test. Defaults to None: all.
        num_test: Number of images of each test set to use, the first ones. Defaults to None: two a
            class.
        strokes: How training and validation change glyphs. Defaults to None: :class:`Strokes` as
            it is.
        repeats: Images of each class in one epoch of training. Defaults to 50.

    Raises:
        InputError: If an argument is out of range, or a test set is unknown.
    """

    classnames = tuple(unicodedata.name(character).lower() for character in CHARACTERS)

    def __init__(
        self,
        test_sets: Sequence[str] = (GLYPHS,),
        batch_size: int = 64,
        num_workers: int = 0,
        num_classes: int | None = None,
        num_test: int | None = None,
        strokes: Strokes | None = None,
        repeats: int = 50,
    ) -> None:
        super().__init__(batch_size, num_workers)
        self.names = chosen_sets(test_sets, [*WEIGHTS, *SHIFTS])
        self.num_classes = len(CHARACTERS) if num_classes is None else num_classes
        self.num_test = 2 * self.num_classes if num_test is None else num_test
        self.strokes, self.repeats = strokes or Strokes(), repeats
        limits = [
            ("num_classes", self.num_classes, 2, len(CHARACTERS)),
            ("num_test", self.num_test, 1, 2 * self.num_classes),
        ]
        for name, value, least, most in limits:
            if not least <= value <= most:
                raise InputError(
                    f"Expected argument `{name}` to be from {least} to {most}, but got {value}."
                )
        if repeats < 1:
            raise InputError(f"Expected argument `repeats` to be at least 1, but got {repeats}.")

    def image_shape(self) -> tuple[int, int]:
        """Channels and side of the images."""
        return 1, SIDE

    def test_sets(self) -> dict[str, ImageSet]:
        return {name: self._test_set(name) for name in self.names}

    def train_dataloader(self) -> DataLoader[Any]:
        """A loader of shuffled, changed glyphs; drops the last, smaller batch."""
        labels = list(range(self.num_classes)) * self.repeats
        return self.loader(DrawnGlyphs(labels, self.strokes), shuffle=True, drop_last=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """A loader of two changed glyphs a class of the training fonts, the same in every run."""
        labels = list(range(self.num_classes)) * 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            pixels = DrawnGlyphs(labels, self.strokes).pixels(range(len(labels)))
        return self.loader(GreyImages(pixels, labels, candidate_labels=self._candidates()))

    def _candidates(self) -> Sequence[int] | None:
        return None if self.num_classes == len(CHARACTERS) else range(self.num_classes)

    def _test_set(self, name: str) -> ImageSet:
        fonts = WEIGHTS.get(name, HELD_OUT)
        chosen = [
            (fonts[(label + second) % 2], label)
            for second in range(2)
            for label in range(self.num_classes)
        ][: self.num_test]
        images = reduced(np.stack([draw(font, CHARACTERS[label]) for font, label in chosen]))
        if name in SHIFTS:
            images = SHIFTS[name](images)
        keys = [f"{font}/{ord(CHARACTERS[label]):04X}" for font, label in chosen]
        labels = [label for _, label in chosen]
        return GreyImages(to_bytes(images), labels, keys, self._candidates())
