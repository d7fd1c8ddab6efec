"""What every model of this package takes for an image, and says when it gets something else.

Files and PIL images of any kind become grey or RGB of 8 bits, as a viewer shows them
(:func:`as_shown`); tensors are checked and scaled (:func:`unit_range`).
"""

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from PIL import ImageColor
from PIL.Image import Image, Transpose
from torch import Tensor

from diffclf_lightning.errors import InputError

Transform = Callable[[Image], Tensor]
"""From a PIL image to the pixels that a model takes."""
MODES = {1: "L", 3: "RGB"}
"""Mode of a PIL image by its number of channels."""
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error),
    PILImage.DecompressionBombError,
)
"""What PIL raises for files that are missing, cut short, too large or no images."""
Notice = Callable[[str], object]
"""Is told, as the end of a sentence about the image, what had to be converted."""

ORIENTATION = 0x0112
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What makes an image upright, by the EXIF orientation it is stored with."""
PRINTED = ("CMYK", "LAB")


def open_image(path: str | Path, background: str = "white", notice: Notice | None = None) -> Image:
    """Read a file as a viewer shows it, see :func:`as_shown`; of several frames the first.

    Args:
        path: The file, of any kind that PIL reads.
        background: Colour behind transparent pixels.
        notice: Is told of each conversion. Defaults to None.

    Returns:
        The image, in mode ``L`` or ``RGB``.

    Raises:
        InputError: If its pixels have no known range.
    """
    with PILImage.open(path) as stored:
        # The further frames of a photograph (MPO) are views of the first.
        if notice is not None and stored.format != "MPO" and getattr(stored, "n_frames", 1) > 1:
            notice("has several frames, of which the first is taken")
        return as_shown(stored, background, notice)


def as_shown(image: Image, background: str = "white", notice: Notice | None = None) -> Image:
    """An image as a viewer shows it, grey or RGB of 8 bits; grey stays exact.

    It is turned as its EXIF orientation says. Grey of 16 bits (``I;16``, and ``I`` where values
    fit) is scaled by 65535, floating point by 1. Transparent pixels are laid on the background.
    Colour profiles are left aside.

    Args:
        image: The image, of any mode.
        background: Colour behind transparent pixels, as a name or ``#rrggbb``.
        notice: Is told of each conversion. Defaults to None.

    Returns:
        The image, in mode ``L`` or ``RGB``; the same object if nothing had to be done.

    Raises:
        InputError: If its pixels have no known range.
    """
    said = notice or _nothing
    image.load()
    turn = TURNS.get(_orientation(image))
    if turn is not None:
        said("is turned as its EXIF orientation says")
        absent = image.info.get("transparency")
        image = image.transpose(turn)
        # Without the orientation, which would turn it again.
        image.info = {} if absent is None else {"transparency": absent}
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image, said)
    if image.mode in ("P", "PA"):
        said("has a palette, which becomes RGB")
    elif image.mode in PRINTED:
        said(f"is {image.mode}, which becomes RGB without its colour profile")
    if image.has_transparency_data:
        image = _laid_on(image, background, said)
    mode = "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == mode else image.convert(mode)


def colour_of(background: str) -> tuple[int, int, int]:
    """The red, green and blue of a colour.

    Args:
        background: A name, as in HTML, or ``#rrggbb``.

    Raises:
        InputError: If it is none.
    """
    try:
        red, green, blue = ImageColor.getrgb(background)[:3]
    except (ValueError, AttributeError) as error:
        raise InputError(
            "Expected argument `background` to be a colour, by name or as #rrggbb, but got "
            f"{background!r}."
        ) from error
    return red, green, blue


def is_grey(image: Image) -> bool:
    """Whether an image of mode ``L`` or ``RGB`` has no colour."""
    if image.mode == "L":
        return True
    red, green, blue = (np.asarray(channel) for channel in image.split())
    return bool((red == green).all() and (green == blue).all())


def _nothing(what: str) -> None:
    """Tells nobody."""


def _orientation(image: Image) -> int:
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except UNREADABLE:  # what the pixels do not need is no reason to refuse them
        return 1
    return orientation if isinstance(orientation, int) else 1


def _eight_bits(image: Image, said: Notice) -> Image:
    values = np.asarray(image)
    floating = image.mode == "F"
    low, high, limit = values.min(), values.max(), 1 if floating else 65535
    if not (low >= 0 and high <= limit):  # not a number is neither
        raise InputError(
            f"Expected grey pixels {'of floating point ' if floating else ''}from 0 to {limit}, "
            f"but got values from {low:.6g} to {high:.6g}. Save the image with 8 or 16 bits."
        )
    said(f"is grey from 0 to {limit}, which becomes 8 bits")
    grey = PILImage.fromarray(np.rint(values / limit * 255).astype(np.uint8))
    absent = image.info.get("transparency")
    if absent is None:
        return grey
    alpha = np.where(values == absent, 0, 255).astype(np.uint8)
    return PILImage.merge("LA", (grey, PILImage.fromarray(alpha)))


def _laid_on(image: Image, background: str, said: Notice) -> Image:
    colour = colour_of(background)
    if image.mode == "La":
        image = image.convert("LA")
    grey = image.mode in ("1", "L", "LA") and len(set(colour)) == 1
    image = image.convert("LA" if grey else "RGBA")
    alpha, solid = image.getchannel("A"), image.convert("L" if grey else "RGB")
    if alpha.getextrema()[0] == 255:
        return solid
    said(f"has transparent pixels, which lie on {background}")
    behind = PILImage.new(solid.mode, solid.size, colour[0] if grey else colour)
    return PILImage.composite(solid, behind, alpha)


def unit_range(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Images as float32 in [0, 1], of the same shape.

    Args:
        images: uint8 in [0, 255] or floating point in [0, 1], as torchvision gives them, of shape
            ``(images, *shape)``.
        shape: Channels, height and width of one image.

    Raises:
        InputError: If shape, type or range is another, or values are not finite.
    """
    _check(images, shape)
    return images.to(torch.float32) / (255 if images.dtype == torch.uint8 else 1)


def image_shape(datamodule: Any) -> tuple[int, int]:
    """Channels and side of the images of a data module, as its training images have them.

    Args:
        datamodule: The data module; what its ``image_shape()`` says, or else the first image that
            it trains on.

    Raises:
        InputError: If there is none of these.
    """
    if hasattr(datamodule, "image_shape"):
        channels, side = datamodule.image_shape()
        return int(channels), int(side)
    image: Any = None
    if datamodule is not None:
        dataset: Any = getattr(datamodule.train_dataloader(), "dataset", None)
        if hasattr(dataset, "__getitem__"):
            sample = dataset[0]
            image = sample.get("image") if isinstance(sample, Mapping) else sample[0]
    if isinstance(image, Tensor) and image.ndim == 3:
        return image.shape[0], min(image.shape[1:])
    if isinstance(image, Image):
        return 1 if image.mode in ("1", "L") else 3, min(image.size)
    raise InputError(
        "Expected a data module whose images say the sizes of a new network, but got "
        f"{'loaders' if datamodule is None else type(datamodule).__name__}. Give the sizes: "
        "`size` and `channels` of a new denoiser, `input_size`, `in_chans` and `num_classes` of a "
        "baseline."
    )


def _check(images: Tensor, shape: tuple[int, int, int]) -> None:
    expected = f"images of shape (batch, {', '.join(map(str, shape))})"
    if not isinstance(images, Tensor):
        raise InputError(
            f"Expected {expected} as a tensor, but got {type(images).__name__}. Let the data set's "
            "transform return tensors."
        )
    if images.ndim != 4 or tuple(images.shape[1:]) != shape:
        raise InputError(
            f"Expected {expected}, but got {tuple(images.shape)}. Use the model's own transform "
            "(`transform` of the denoiser or the classifier) in the data set."
        )
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise InputError(
            f"Expected {expected} of type uint8 or floating point, but got {images.dtype}."
        )
    if not images.isfinite().all():
        row = int((~images.isfinite()).flatten(1).any(dim=1).nonzero()[0])
        raise InputError(
            f"Expected {expected} with finite pixels, but image {row} of the batch has NaN or "
            "infinity. Check the file and the transform."
        )
    low, high = images.min().item(), images.max().item()
    if low < 0 or high > 1:
        raise InputError(
            f"Expected floating-point images in [0, 1], but got values from {low:.4g} to "
            f"{high:.4g}. Leave out normalisation (the model scales its own input), or give uint8."
        )
