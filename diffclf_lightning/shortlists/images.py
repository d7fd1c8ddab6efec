"""Images of one model as another takes them."""

import torch
from torch import Tensor

from diffclf_lightning.guesses import pixels_of
from diffclf_lightning.images import Transform


def as_seen_by(transform: Transform, shape: tuple[int, int, int], images: Tensor) -> Tensor:
    """Images at the size of another model, with as many channels.

    Args:
        transform: From a PIL image to the pixels that the other model takes.
        shape: Channels, height and width of these.
        images: uint8 in [0, 255] or floating point in [0, 1], of any shape
            ``(images, channels, height, width)``.

    Returns:
        Images of shape ``(images, *shape)``: the same where they have it already, else uint8 on
        the CPU.
    """
    if tuple(images.shape[1:]) == shape:
        return images
    return torch.stack([pixels_of(image, transform, shape) for image in images.cpu()])
