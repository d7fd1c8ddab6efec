"""Guesses: what a classifier answers for an image, without a Trainer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.images import UNREADABLE, Transform, open_image
from diffclf_lightning.paths import path_of

AnyImage = Image.Image | str | Path | NDArray[Any] | Tensor
"""A PIL image, a file, an array ``(height, width[, channels])``, or a tensor ``(channels, height,
width)``; arrays and tensors uint8, or floating point in [0, 1]."""


@dataclass(frozen=True)
class Guess:
    """What a classifier answers for one image.

    Args:
        name: Name of the likeliest class.
        label: Its label.
        probabilities: Probability of every class by its name, the likeliest first.
        scores: Score of every class by its name, lower is better, in the same order.
        standard_errors: Standard error of each score's difference to the best, NaN where unknown.
        evaluations: Number of model evaluations.
        calibrated: Whether probabilities come with a fitted temperature; without, only their order
            means something.
    """

    name: str
    label: int
    probabilities: Mapping[str, float]
    scores: Mapping[str, float]
    standard_errors: Mapping[str, float]
    evaluations: int
    calibrated: bool

    @property
    def probability(self) -> float:
        """Probability of the likeliest class."""
        return self.probabilities[self.name]

    @classmethod
    def of(
        cls, columns: Mapping[str, Any], row: int, names: Sequence[str], calibrated: bool
    ) -> "Guess":
        """The guess that a row of results is.

        Args:
            columns: Columns of results, as :meth:`Classification.columns` makes them, and
                ``evaluations``.
            row: Place of the image in them.
            names: Name of every label.
            calibrated: Whether probabilities come with a fitted temperature.
        """
        label = int(columns["prediction"][row])
        likely = columns["probabilities"][row]
        order = likely.argsort(descending=True, stable=True).tolist()
        order = [label, *(i for i in order if i != label)]
        values = {
            column: {names[i]: float(columns[column][row][i]) for i in order}
            for column in ("probabilities", "scores", "standard_errors")
        }
        evaluations = int(columns["evaluations"][row])
        return cls(names[label], label, **values, evaluations=evaluations, calibrated=calibrated)


def pixels_of(image: AnyImage, transform: Transform, shape: tuple[int, int, int]) -> Tensor:
    """An image as the pixels that a model takes.

    Args:
        image: The image.
        transform: The model's.
        shape: Channels, height and width that the model takes; a tensor of this shape is taken as
            it is.

    Returns:
        Pixels, of that shape.

    Raises:
        InputError: If it is no image, or cannot be read.
    """
    if isinstance(image, Tensor) and tuple(image.shape) == shape:
        return image
    return transform(_as_pil(image))


def _as_pil(image: AnyImage) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, str | Path):
        try:
            return open_image(path_of(image))
        except UNREADABLE as error:
            raise InputError(
                f"Expected an image that can be read, but got {str(image)!r} "
                f"({type(error).__name__}: {error})."
            ) from error
    expected = (
        "Expected an image as a PIL image, a path, an array (height, width[, channels]) or a "
        "tensor (channels, height, width), uint8 or floating point in [0, 1]"
    )
    if isinstance(image, Tensor):
        pixels = image.detach().cpu()
        pixels = pixels.permute(1, 2, 0) if pixels.ndim == 3 else pixels
        image = pixels.float().numpy() if pixels.is_floating_point() else pixels.numpy()
    if not isinstance(image, np.ndarray):
        raise InputError(f"{expected}, but got {type(image).__name__}.")
    if image.dtype.kind not in "biuf":
        raise InputError(f"{expected}, but got {image.dtype}.")
    if (
        not image.size
        or image.ndim not in (2, 3)
        or (image.ndim == 3 and image.shape[2] not in (1, 3))
    ):
        raise InputError(f"{expected}, but got shape {image.shape}.")
    if image.dtype == np.uint8:
        return Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    floating = np.issubdtype(image.dtype, np.floating)
    if not floating or not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
        raise InputError(f"{expected}, but got {image.dtype} from {image.min()} to {image.max()}.")
    return _as_pil(np.round(image * 255).astype(np.uint8))


def listed(images: AnyImage | Sequence[AnyImage]) -> tuple[list[AnyImage], bool]:
    """Images as a list, and whether there was one alone, and not several."""
    several = images.ndim > 3 if isinstance(images, np.ndarray | Tensor) else False
    if isinstance(images, str | Path | Image.Image | np.ndarray | Tensor) and not several:
        return [images], True
    if not isinstance(images, Iterable):
        raise InputError(f"Expected an image, or several in a list, but got {images!r}.")
    return list(images), False


def batches(images: Sequence[Tensor], size: int) -> list[Tensor]:
    """Images of one shape, a bounded number at once, of one type."""
    if any(image.is_floating_point() for image in images):
        images = [i if i.is_floating_point() else i.float() / 255 for i in images]
    return [torch.stack(list(images[i : i + size])) for i in range(0, len(images), size)]
