"""Scenes drawn: handwritten digits, bright, dark or small, in the quadrants of a canvas."""

from collections.abc import Sequence
from random import Random

import numpy as np
import torch
from torch import Tensor

from diffclf_lightning.datamodules.augmentation import Augmentation
from diffclf_lightning.datamodules.digits import LEVELS, NUM_TRAIN, SIDE
from diffclf_lightning.datamodules.scenes_grammar import Look, Scene
from diffclf_lightning.extras import needed

SMALL = 5
"""Side of a small digit."""
CANVAS = 2 * SIDE


class HandwrittenDigits:
    """scikit-learn's digits by class: those to train on, or those held out.

    Args:
        held_out: Whether to take the last 500 of the file, or else the first 1,297.
    """

    def __init__(self, *, held_out: bool) -> None:
        bunch = needed("sklearn.datasets", "digits").load_digits()
        span = slice(NUM_TRAIN, None) if held_out else slice(NUM_TRAIN)
        self.pixels = torch.from_numpy(np.asarray(bunch.images)[span] / LEVELS)
        labels = np.asarray(bunch.target)[span]
        self.places = [np.flatnonzero(labels == digit).tolist() for digit in range(10)]

    def draw(self, random: Random, digits: Sequence[int]) -> Tensor:
        """An image of each of some digits, in [0, 1], float64, shape ``(digits, 8, 8)``."""
        return self.pixels[[random.choice(self.places[digit]) for digit in digits]]


def draw_scenes(
    random: Random,
    digits: HandwrittenDigits,
    scenes: Sequence[Scene],
    augmentation: Augmentation | None = None,
) -> tuple[Tensor, list[tuple[int, ...]]]:
    """A picture of each scene, its digits, and their quadrants, drawn at random.

    Args:
        random: Where chance comes from.
        digits: The digits to draw from.
        scenes: The scenes.
        augmentation: Changes the digits before they are drawn. Defaults to None: nothing does.

    Returns:
        Pictures, uint8, shape ``(scenes, 1, 16, 16)``; quadrants of each one's digits.
    """
    things = [thing for scene in scenes for thing in scene.things]
    places = [random.choice(scene.places) for scene in scenes]
    drawn = digits.draw(random, [thing.digit for thing in things])
    if augmentation is not None:
        grey = (drawn * 255).round().to(torch.uint8)
        drawn = augmentation(grey[:, None])[:, 0].double() / 255
    looks = torch.tensor([int(thing.look) for thing in things])
    canvas = torch.zeros(len(scenes), 4, SIDE, SIDE, dtype=torch.float64)
    rows = torch.tensor([row for row, scene in enumerate(scenes) for _ in scene.things])
    quadrants = torch.tensor([place for some in places for place in some])
    canvas[rows, quadrants] = looking(drawn, looks)
    whole = canvas.unflatten(1, (2, 2)).transpose(2, 3).reshape(-1, 1, CANVAS, CANVAS)
    # What float64 leaves below six decimals differs between machines.
    grey = ((whole * 1e6).round() / 1e6 * 255).round()
    return grey.to(torch.uint8), places


def looking(pixels: Tensor, looks: Tensor) -> Tensor:
    """Digits as their looks have them, of the same shape.

    Args:
        pixels: Digits in [0, 1], float64, shape ``(digits, 8, 8)``.
        looks: Look of each, shape ``(digits,)``.
    """
    dimmed = torch.where((looks == Look.DARK)[:, None, None], pixels / 2, pixels)
    small = torch.zeros_like(pixels)
    shrink = shrinking()
    small[:, 2 : 2 + SMALL, 1 : 1 + SMALL] = shrink @ pixels @ shrink.T  # about the middle
    return torch.where((looks == Look.SMALL)[:, None, None], small, dimmed)


def shrinking() -> Tensor:
    """The linear map from 8 to 5 pixels: bilinear, with a support that holds all of them."""
    scale = SIDE / SMALL
    centres = (torch.arange(SMALL, dtype=torch.float64) + 0.5) * scale
    pixels = torch.arange(SIDE, dtype=torch.float64) + 0.5
    weights = (1 - (pixels - centres[:, None]).abs() / scale).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)
