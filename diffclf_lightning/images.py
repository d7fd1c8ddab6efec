"""What every model of this package takes for an image, and says when it gets something else."""

from collections.abc import Callable

import torch
from PIL.Image import Image
from torch import Tensor

from diffclf_lightning.errors import InputError

Transform = Callable[[Image], Tensor]
"""From a PIL image to the pixels that a model takes."""
MODES = {1: "L", 3: "RGB"}
"""Mode of a PIL image by its number of channels."""


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
