"""Sets of scenes: drawn anew to train on, or fixed, of held-out digits, to be matched and named."""

from collections.abc import Sequence
from random import Random
from typing import Any

import torch
from PIL import Image
from torch.utils.data import Dataset

from diffclf_lightning.datamodules.augmentation import Augmentation
from diffclf_lightning.datamodules.digits import SIDE, GreyImages
from diffclf_lightning.datamodules.matching import Example
from diffclf_lightning.datamodules.scenes_drawing import HandwrittenDigits, draw_scenes
from diffclf_lightning.datamodules.scenes_grammar import (
    DIGITS,
    LEFT,
    TAGS,
    Scene,
    Thing,
    draw_example,
    draw_scene,
)

UNSAID = -100
"""Stands where nothing is known; the index that cross-entropy ignores."""


class CaptionedScenes(Dataset[dict[str, Any]]):
    """Scenes to train on, drawn anew whenever they are asked for.

    A sample has ``image``, uint8 of shape ``(1, 16, 16)``; ``caption``; and what the grammar knows:
    ``windows``, corner (row, column) of each digit's quadrant, the only digit twice where there is
    but one, shape ``(2, 2)``; ``regions``, digit and look that the caption gives each quadrant,
    shape ``(4, 2)``; ``words``, place, digit and look of each digit's word, shape ``(2, 3)``. What
    is not said is -100.

    Args:
        size: Number of scenes in an epoch.
        adjectives: Share of the captions of two digits that say how both look.
        singles: Share of the captions of one digit.
        augmentation: Changes the digits.
    """

    def __init__(
        self, size: int, adjectives: float, singles: float, augmentation: Augmentation
    ) -> None:
        self.size, self.adjectives, self.singles = size, adjectives, singles
        self.augmentation = augmentation
        self.digits = HandwrittenDigits(held_out=False)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The samples of a batch, which are much cheaper to draw all at once."""
        random = Random(int(torch.randint(2**62, ())))
        scenes = [draw_scene(random, self.adjectives, self.singles) for _ in indices]
        pictures, places = draw_scenes(random, self.digits, scenes, self.augmentation)
        return [
            {"image": picture, "caption": scene.caption, **known(scene, quadrants)}
            for picture, scene, quadrants in zip(pictures, scenes, places, strict=True)
        ]


def known(scene: Scene, quadrants: Sequence[int]) -> dict[str, torch.Tensor]:
    """What the grammar knows of a scene, see :class:`CaptionedScenes`.

    Args:
        scene: The scene.
        quadrants: Where its digits stand.
    """
    nothing = [UNSAID, UNSAID]
    regions = [[t.digit, int(t.look)] if t is not None else nothing for t in scene.said]
    named = [place for place, word in enumerate(scene.caption.split()) if word in DIGITS]
    words = [[w, t.digit, int(t.look)] for w, t in zip(named, scene.things, strict=True)]
    corners = [[SIDE * (quadrant // 2), SIDE * (quadrant % 2)] for quadrant in quadrants]
    return {
        "windows": torch.tensor((corners * 2)[:2]),
        "regions": torch.tensor(regions),
        "words": torch.tensor([*words, [UNSAID] * 3][:2]),
    }


def scene_examples(size: int) -> list[Example]:
    """Examples of two scenes and two captions of the same words, of held-out digits.

    Their tags are ``Object``, ``Relation`` and ``Both`` in turn. They are the same in every run,
    and of fewer examples the first ones.

    Args:
        size: Number of examples.
    """
    random, digits = Random(0), HandwrittenDigits(held_out=True)
    examples = []
    for number in range(size):
        tag = TAGS[number % len(TAGS)]
        scenes = draw_example(random, tag)
        pictures, _ = draw_scenes(random, digits, scenes)
        images = [Image.fromarray(picture[0].numpy()) for picture in pictures]
        captions = [scene.caption for scene in scenes]
        examples.append(Example(images, captions, tag, f"{tag.lower()}/{number:04d}"))
    return examples


def left_digits(size: int) -> GreyImages:
    """Pictures of two held-out digits beside each other, labelled by the left one.

    Left digits come in turn, from zero; the right one is any. They are the same in every run, and
    of fewer pictures the first ones.

    Args:
        size: Number of pictures.
    """
    digits = HandwrittenDigits(held_out=True)
    pictures, labels, keys = [], [], []
    for number in range(size):
        random = Random(f"0/{number}")
        left, right = number % 10, random.randrange(10)
        scene = Scene((Thing(left), Thing(right)), relation=LEFT, phrase="left of")
        picture, _ = draw_scenes(random, digits, [scene])
        pictures.append(picture[0])
        labels.append(left)
        keys.append(f"{left}{right}/{number:04d}")
    return GreyImages(torch.cat(pictures).numpy(), labels, keys)
