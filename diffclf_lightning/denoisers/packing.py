"""Latents as rows of patches of 2 x 2, as FLUX and those that followed it take them."""

import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from diffclf_lightning.denoisers.schedules import FlowMatching
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser


class PackedFlow(TextConditionalDenoiser):
    """A flow whose network takes patches of 2 x 2 latent pixels as its channels."""

    @staticmethod
    def schedule_of(scheduler: SchedulerMixin) -> FlowMatching:
        """A flow of which the network is told the time itself."""
        return FlowMatching(scheduler, time_scale=1.0)

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        return self.config.in_channels // 4, self.size, self.size

    @property
    def size_multiple(self) -> int:
        return 2 * self.vae_factor


def packed(latents: Tensor) -> Tensor:
    """Patches of 2 x 2 latent pixels as tokens, row by row.

    Args:
        latents: Shape ``(batch, channels, height, width)``.

    Returns:
        Shape ``(batch, height / 2 * width / 2, 4 * channels)``.
    """
    batch, channels, height, width = latents.shape
    patches = latents.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, 4 * channels)


def unpacked(tokens: Tensor, height: int, width: int) -> Tensor:
    """Latents of tokens, the inverse of :func:`packed`.

    Args:
        tokens: Shape ``(batch, height / 2 * width / 2, 4 * channels)``.
        height: Height of the latents.
        width: Their width.
    """
    batch, _, channels = tokens.shape
    patches = tokens.reshape(batch, height // 2, width // 2, channels // 4, 2, 2)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels // 4, height, width)


def places(height: int, width: int, axes: int = 3) -> Tensor:
    """Places of tokens: row and column at the second and third of some axes, 0 at the others.

    Args:
        height: Number of rows of tokens.
        width: Number of columns.
        axes: Number of axes.

    Returns:
        Float32, shape ``(height * width, axes)``.
    """
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    ids = torch.zeros(height * width, axes)
    ids[:, 1], ids[:, 2] = rows.flatten(), columns.flatten()
    return ids
