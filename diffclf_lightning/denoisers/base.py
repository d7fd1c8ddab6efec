"""Denoiser: one diffusers model family behind one small interface.

Symbols: ``x_0`` a clean image or latent, ``x_t`` the same at timestep ``t``, ``noise`` what was
added, ``conditioning`` what the model is told, one row a sample.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from diffclf_lightning.candidates import Condition
from diffclf_lightning.denoisers.schedule import Schedule
from diffclf_lightning.evaluation import Prediction
from diffclf_lightning.images import unit_range

Transform = Callable[[Image], Tensor]


class Denoiser(nn.Module, ABC):
    """A diffusion model that predicts noise under a conditioning.

    Args:
        schedule: The noise schedule.
        vae: Autoencoder between images and latents (diffusers ``AutoencoderKL``); none for a
            model of pixels.
    """

    def __init__(self, schedule: Schedule, vae: nn.Module | None = None) -> None:
        super().__init__()
        self.schedule = schedule
        self.vae = vae
        if vae is not None:
            vae.requires_grad_(requires_grad=False)

    options: frozenset[str] = frozenset()
    """Arguments of :meth:`AutoDenoiser.from_pretrained` that not every family takes."""

    vae: Any
    num_classes: int | None = None
    """Number of classes that the model knows by id; none for a model of prompts."""
    predicts_variance: bool = False
    """Whether :meth:`predict` gives the reverse step too."""

    @property
    @abstractmethod
    def sample_shape(self) -> tuple[int, int, int]:
        """Shape ``(channels, height, width)`` of ``x_0``."""

    @property
    @abstractmethod
    def transform(self) -> Transform:
        """From a PIL image to the pixels that :meth:`encode` takes."""

    @abstractmethod
    def condition(self, conditions: Sequence[Condition]) -> Tensor:
        """Conditioning of class ids or prompts.

        Args:
            conditions: Class ids or prompts, whichever the family takes.

        Returns:
            One row a condition, shape ``(conditions, ...)``, on the model's device.

        Raises:
            InputError: If the family does not take such conditions.
        """

    @abstractmethod
    def null_conditioning(self, conditioning: Tensor) -> Tensor:
        """Conditioning of "nothing said", of the shape of ``conditioning``.

        Raises:
            InputError: If the model has none.
        """

    @abstractmethod
    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Tensor) -> Tensor:
        """The network's output in its own target (noise, or v).

        Args:
            x_t: Noised samples, float32, shape ``(batch, *sample_shape)``.
            timestep: Timesteps, int64, shape ``(batch,)``.
            conditioning: Rows of :meth:`condition`, shape ``(batch, ...)``.

        Returns:
            Output, of the shape of ``x_t``.
        """

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> None:
        """Write a diffusers pipeline folder that :class:`AutoDenoiser` loads again."""

    @property
    def vae_factor(self) -> int:
        """Pixels along one side of a latent pixel; 1 without an autoencoder."""
        return 1 if self.vae is None else 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape ``(channels, height, width)`` of the images that :meth:`encode` takes."""
        channels, height, width = self.sample_shape
        if self.vae is None:
            return channels, height, width
        factor = self.vae_factor
        return self.vae.config.in_channels, height * factor, width * factor

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    def to_samples(self, images: Tensor) -> Tensor:
        """Images as the model sees them, float32 in [-1, 1].

        Args:
            images: uint8 in [0, 255] or floating point in [0, 1], as torchvision gives them, of
                shape ``(images, *image_shape)``.

        Returns:
            Scaled images, of the same shape.

        Raises:
            InputError: If shape, type or range is another, or values are not finite.
        """
        return unit_range(images, self.image_shape) * 2 - 1

    def encode(self, images: Tensor) -> Tensor:
        r"""Images to ``x_0``; for a latent model the posterior mean, shifted and scaled.

        Args:
            images: As :meth:`to_samples` takes them.

        Returns:
            ``x_0``, float32, shape ``(images, *sample_shape)``.
        """
        samples = self.to_samples(images)
        if self.vae is None:
            return samples
        mean: Tensor = self.vae.encode(samples.to(self.vae.dtype)).latent_dist.mean.float()
        shift = self.vae.config.get("shift_factor") or 0.0
        scaled: Tensor = (mean - shift) * self.vae.config.scaling_factor
        return scaled

    def add_noise(self, x_0: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """See :meth:`Schedule.add_noise`."""
        return self.schedule.add_noise(x_0, noise, timestep)

    def target(self, x_0: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """See :meth:`Schedule.target`."""
        return self.schedule.target(x_0, noise, timestep)

    def predict(self, x_t: Tensor, timestep: Tensor, conditioning: Tensor) -> Prediction:
        """What the model says, in one forward pass; arguments as in :meth:`forward`."""
        output = self(x_t, timestep, conditioning)
        return Prediction(self.schedule.noise(output, x_t, timestep))
