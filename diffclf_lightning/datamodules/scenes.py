"""Scenes of two handwritten digits with captions, to train on and to match.

Digits of ``load_digits`` (:mod:`diffclf_lightning.datamodules.digits`): scenes to train on show the
first 1,297, others the last 500. Five pairs of digits never meet in training.
"""

from typing import Any

from torch.utils.data import DataLoader

from diffclf_lightning.datamodules.augmentation import Augmentation
from diffclf_lightning.datamodules.base import ImageDataModule, ImageSet
from diffclf_lightning.datamodules.digits import SIDE
from diffclf_lightning.datamodules.matching import ExampleSet, MatchingSets
from diffclf_lightning.datamodules.scenes_grammar import DIGITS
from diffclf_lightning.datamodules.scenes_sets import CaptionedScenes, left_digits, scene_examples
from diffclf_lightning.errors import InputError


class Scenes(MatchingSets):
    """Scenes with captions: train on drawn ones, match examples of held-out digits.

    The set ``scenes`` has examples of two scenes and two captions of the same words in another
    order, a third of them with each of the tags ``Object``, ``Relation`` and ``Both``.

    Args:
        batch_size: Examples, or scenes to train on, in a batch. Defaults to 20.
        num_workers: Worker processes. Defaults to 0: the process itself.
        num_test: Number of examples, the first ones. Defaults to 600.
        num_train: Number of scenes in an epoch of training. Defaults to 25,600.
        augment: Share of the digits to train on to which a random affine map is applied (12
            degrees, 10% scale, shear, half a pixel). Defaults to 0.7.
        adjectives: Share of the captions to train on that say how both digits look. Defaults to
            0.5.
        singles: Share of the captions to train on that name one digit alone. Defaults to 0.1.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(
        self,
        batch_size: int = 20,
        num_workers: int = 0,
        num_test: int = 600,
        num_train: int = 25_600,
        augment: float = 0.7,
        adjectives: float = 0.5,
        singles: float = 0.1,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        _check_numbers(num_test=num_test, num_train=num_train)
        for name, share in (("adjectives", adjectives), ("singles", singles)):
            if not 0 <= share <= 1:
                raise InputError(f"Expected argument `{name}` from 0 to 1, but got {share}.")
        self.num_test, self.num_train = num_test, num_train
        self.adjectives, self.singles = adjectives, singles
        half_a_pixel = 0.5 / SIDE
        self.augmentation = Augmentation(share=augment, shift=half_a_pixel, padding="zeros")

    def find(self) -> dict[str, ExampleSet]:
        return {"scenes": ExampleSet(scene_examples(self.num_test))}

    def train_dataloader(self) -> DataLoader[Any]:
        """A loader of scenes drawn anew, see :class:`CaptionedScenes`."""
        scenes = CaptionedScenes(self.num_train, self.adjectives, self.singles, self.augmentation)
        return DataLoader(scenes, self.batch_size, num_workers=self.num_workers, drop_last=True)


class LeftDigit(ImageDataModule):
    """Scenes of two digits beside each other: which is on the left?

    Args:
        batch_size: Images in a batch. Defaults to 50.
        num_workers: Worker processes. Defaults to 0: the process itself.
        num_test: Number of images, the first ones. Defaults to 200.

    Raises:
        InputError: If an argument is out of range.
    """

    classnames = DIGITS

    def __init__(self, batch_size: int = 50, num_workers: int = 0, num_test: int = 200) -> None:
        super().__init__(batch_size, num_workers)
        _check_numbers(num_test=num_test)
        self.num_test = num_test

    def test_sets(self) -> dict[str, ImageSet]:
        return {"left_digit": left_digits(self.num_test)}


def _check_numbers(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise InputError(f"Expected argument `{name}` to be at least 1, but got {number}.")
