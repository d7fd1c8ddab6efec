"""Latent spaces: what a model sees of an image, by the kind of its autoencoder."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from diffclf_lightning.errors import InputError


class LatentSpace:
    """Latents of diffusers' ``AutoencoderKL``: the posterior mean, shifted and scaled.

    Where the autoencoder has a mean and a standard deviation of each channel, these come first.

    Args:
        vae: The autoencoder.
    """

    def __init__(self, vae: nn.Module) -> None:
        self.vae: Any = vae
        self.config: Any = vae.config

    @property
    def factor(self) -> int:
        """Pixels along one side of a latent pixel."""
        return int(2 ** (len(self.config.block_out_channels) - 1))

    @property
    def channels(self) -> int:
        """Channels of the latents."""
        return int(self.config.latent_channels)

    @property
    def image_channels(self) -> int:
        """Channels of the images."""
        return int(self.config.in_channels)

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents of pixels.

        Args:
            pixels: In [-1, 1], in the autoencoder's type, of shape
                ``(images, image_channels, height, width)``.

        Returns:
            Float32, shape ``(images, channels, height / factor, width / factor)``.
        """
        return self._standardised(self._mean(pixels).float())

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels of latents, the inverse of :meth:`encode`, about in [-1, 1]."""
        return self._pixels(self._restored(latents).to(self.vae.dtype))

    def _mean(self, pixels: Tensor) -> Tensor:
        """Mean of the posterior, as the autoencoder gives it."""
        mean: Tensor = self.vae.encode(pixels).latent_dist.mean
        return mean

    def _pixels(self, latents: Tensor) -> Tensor:
        """What the autoencoder decodes."""
        pixels: Tensor = self.vae.decode(latents).sample
        return pixels

    def _standardised(self, latents: Tensor) -> Tensor:
        mean, deviation = self._statistics(latents)
        return (latents - mean) / deviation * self._scale

    def _restored(self, latents: Tensor) -> Tensor:
        mean, deviation = self._statistics(latents)
        return latents / self._scale * deviation + mean

    def _statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """What is subtracted of latents, and what they are divided by."""
        mean, deviation = self.config.get("latents_mean"), self.config.get("latents_std")
        if mean is None or deviation is None:
            return latents.new_tensor(self.config.get("shift_factor") or 0.0), latents.new_ones(())
        shape = (-1, *(1,) * (latents.ndim - 2))
        return latents.new_tensor(mean).view(shape), latents.new_tensor(deviation).view(shape)

    @property
    def _scale(self) -> float:
        return float(self.config.get("scaling_factor") or 1.0)


class DeepCompression(LatentSpace):
    """Latents of diffusers' ``AutoencoderDC`` (Chen et al. 2025): those of its encoder, scaled."""

    @property
    def factor(self) -> int:
        return int(2 ** (len(self.config.encoder_block_out_channels) - 1))

    def _mean(self, pixels: Tensor) -> Tensor:
        latents: Tensor = self.vae.encode(pixels).latent
        return latents


class Flux2Latents(LatentSpace):
    """Latents of ``AutoencoderKLFlux2``: patches of 2 x 2, standardised by batch statistics."""

    @property
    def factor(self) -> int:
        return 2 * super().factor

    @property
    def channels(self) -> int:
        return 4 * super().channels

    def _mean(self, pixels: Tensor) -> Tensor:
        return pixel_unshuffle(super()._mean(pixels), 2)

    def _pixels(self, latents: Tensor) -> Tensor:
        return super()._pixels(pixel_shuffle(latents, 2))

    def _statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        statistics = self.vae.bn
        mean, variance = (
            each.to(latents).view(1, -1, 1, 1)
            for each in (statistics.running_mean, statistics.running_var)
        )
        return mean, (variance + self.config.batch_norm_eps).sqrt()


class QwenImageLatents(LatentSpace):
    """Latents of ``AutoencoderKLQwenImage``, which is one of videos: an image is one frame."""

    @property
    def factor(self) -> int:
        return int(2 ** len(self.config.temperal_downsample))

    @property
    def channels(self) -> int:
        return int(self.config.z_dim)

    @property
    def image_channels(self) -> int:
        return int(self.config.get("input_channels", 3))

    def _mean(self, pixels: Tensor) -> Tensor:
        # What `vae.encode` makes of one frame; that asks for the decoder too, which is kept apart.
        moments: Tensor = self.vae.quant_conv(self.vae.encoder(pixels[:, :, None]))
        return moments.chunk(2, dim=1)[0][:, :, 0]

    def _pixels(self, latents: Tensor) -> Tensor:
        return super()._pixels(latents[:, :, None])[:, :, 0]


SPACES: dict[str, type[LatentSpace]] = {
    "AsymmetricAutoencoderKL": LatentSpace,
    "AutoencoderKL": LatentSpace,
    "AutoencoderDC": DeepCompression,
    "AutoencoderKLFlux2": Flux2Latents,
    "AutoencoderKLQwenImage": QwenImageLatents,
}
"""Latent space by the class of the autoencoder. A new one is a line here."""


def latent_space(vae: nn.Module) -> LatentSpace:
    """The latent space of an autoencoder.

    Args:
        vae: An autoencoder of diffusers.

    Raises:
        InputError: If it is of a class whose latents are not known.
    """
    name = type(vae).__name__
    if name not in SPACES:
        raise InputError(
            f"Expected an autoencoder that is one of {', '.join(SPACES)}, but got {name}. Take the "
            "pipeline's own."
        )
    return SPACES[name](vae)


def keep_precision(vae: Any) -> bool:
    """Take float32 for an autoencoder whose values overflow in float16, and say whether they do.

    diffusers marks them with ``force_upcast``.
    """
    overflows = bool(vae.config.get("force_upcast"))
    if overflows and vae.dtype == torch.float16:
        vae.float()  # of `to` diffusers would warn
    return overflows
