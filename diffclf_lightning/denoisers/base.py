"""Denoiser: one diffusers model family behind one small interface.

Symbols: ``x_0`` a clean image or latent, ``x_t`` the same with noise at timestep ``t``,
``conditioning`` what the network is told, one row a sample.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from diffclf_lightning.calibration import Calibration
from diffclf_lightning.candidates import Condition
from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.latents import LatentSpace, keep_precision, latent_space
from diffclf_lightning.denoisers.schedules import Schedule
from diffclf_lightning.denoisers.transforms import ResizeCenterCrop, SquareCrop
from diffclf_lightning.evaluation import Noised, Prediction, Timesteps
from diffclf_lightning.images import Transform, unit_range

PIXELS = 8 * 512**2
"""Pixels that an autoencoder is given at once: it needs far more memory for them than a latent."""


class Denoiser(nn.Module, ABC):
    """A diffusion or flow model that is told a conditioning.

    Args:
        schedule: How samples are noised, and what the network outputs.
        vae: Autoencoder of diffusers between images and latents, or None for a model of pixels.
    """

    def __init__(self, schedule: Schedule, vae: nn.Module | None = None) -> None:
        super().__init__()
        self.schedule = schedule
        self.vae = vae
        if vae is not None:
            vae.requires_grad_(requires_grad=False)

    options: frozenset[str] = frozenset()
    """Arguments of :meth:`AutoDenoiser.from_pretrained` that not every family takes."""
    crop: ClassVar[type[SquareCrop]] = ResizeCenterCrop
    """How images come to the model's size."""

    vae: Any
    num_classes: int | None = None
    """Number of classes that the model knows by id, or None for a model of prompts."""
    classnames: Sequence[str] | None = None
    """Names of these classes in the order of ids, or None where the model has none."""
    calibration: Calibration | None = None
    """What makes probabilities of its scores, where that came with the model."""
    source: Mapping[str, Any] | None = None
    """The call that loads it, as a configuration has it, where it was loaded so."""
    lora: Any = None
    """The :class:`LoRA` whose layers its network has, or None."""
    frozen: str | None = None
    """Checksum of the weights that these layers were added to."""

    @property
    def predicts_variance(self) -> bool:
        """Whether :meth:`predict` gives the variance of the reverse step too."""
        return False

    @property
    def network(self) -> nn.Module:
        """What a forward pass runs; the whole denoiser where a family says nothing else."""
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place, with the arguments of :func:`torch.compile`."""
        if self.network is self:
            super().compile(*args, **kwargs)
        else:
            self.network.compile(*args, **kwargs)

    @property
    @abstractmethod
    def sample_shape(self) -> tuple[int, int, int]:
        """Shape ``(channels, height, width)`` of ``x_0``."""

    def check(self, conditions: Sequence[Condition]) -> None:
        """Refuse conditions that the model cannot take, before anything is computed.

        Args:
            conditions: Class ids, prompts, or tuples of prompts.

        Raises:
            InputError: If it cannot take one, as a prompt that is too long.
        """

    @abstractmethod
    def condition(self, conditions: Sequence[Condition]) -> Conditioning:
        """Conditioning of class ids or prompts, one row each, where the device has room for it.

        Raises:
            InputError: If the family does not take such conditions.
        """

    @abstractmethod
    def unconditional(self) -> Conditioning:
        """Conditioning of "nothing said", one row; an InputError says that a model has none."""

    @abstractmethod
    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """The network's output in its own target, of the shape of ``x_t``.

        Args:
            x_t: Noised samples, float32, shape ``(batch, *sample_shape)``.
            timestep: What the schedule tells the network of the time, shape ``(batch,)``.
            conditioning: Rows of ``condition``, one a sample.
        """

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> None:
        """Write a diffusers pipeline folder that :class:`AutoDenoiser` loads again."""

    @property
    def transform(self) -> Transform:
        """From a PIL image to the pixels that :meth:`encode` takes, by the family's crop."""
        channels, size, _ = self.image_shape
        return self.crop(size, channels)

    @property
    def latent_space(self) -> LatentSpace:
        """The latents of the model's autoencoder."""
        return latent_space(self.vae)

    @property
    def vae_factor(self) -> int:
        """Pixels along one side of a latent pixel; 1 without an autoencoder."""
        return 1 if self.vae is None else self.latent_space.factor

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape ``(channels, height, width)`` of the images that :meth:`encode` takes."""
        channels, height, width = self.sample_shape
        if self.vae is None:
            return channels, height, width
        factor = self.vae_factor
        return self.latent_space.image_channels, height * factor, width * factor

    @property
    def device(self) -> torch.device:
        """Device of the weights; of those that are loaded, where others wait elsewhere."""
        places = (weight.device for weight in self.parameters())
        return next((place for place in places if place.type != "meta"), torch.device("meta"))

    @contextmanager
    def speaking(self, *encoders: nn.Module) -> Iterator[None]:
        """Text encoders on the model's device while they speak.

        Afterwards they leave a GPU, unless the model is in training, so that the network has its
        memory.
        """
        device = self.device
        _move(encoders, device)
        try:
            yield
        finally:
            if device.type != "cpu" and not self.training:
                _move(encoders, torch.device("cpu"))

    def encode(self, images: Tensor) -> Tensor:
        """Images to ``x_0``, float32, shape ``(images, *sample_shape)``.

        Of a latent model they are its autoencoder's (:class:`LatentSpace`), else pixels in [-1, 1].

        Args:
            images: uint8 in [0, 255] or floating point in [0, 1], as torchvision gives them, of
                shape ``(images, *image_shape)``.

        Raises:
            InputError: If shape, type or range is another, or values are not finite.
        """
        samples = unit_range(images, self.image_shape) * 2 - 1
        if self.vae is None:
            return samples
        at_once = max(1, PIXELS // samples[0, 0].numel())
        device = samples.device.type
        precision = torch.get_autocast_dtype(device)
        half = keep_precision(self.vae) and precision == torch.float16
        enabled = torch.is_autocast_enabled(device) and not half
        with torch.autocast(device, precision, enabled=enabled):
            parts = samples.to(self.vae.dtype).split(at_once)
            latents = torch.cat([self.latent_space.encode(part) for part in parts])
        return latents.contiguous()  # its layout would depend on the number of images

    def at(self, times: Sequence[Fraction] | Tensor) -> Timesteps:
        """Times in [0, 1) as the schedule sees them, on the CPU."""
        return self.schedule(times)

    def predict(self, noised: Noised, conditioning: Mapping[str, Tensor]) -> Prediction:
        """What the model says of noised samples, told one row each, in one forward pass."""
        output = self(noised.x_t, noised.at.timestep, conditioning)
        return Prediction(noised, output, self.schedule.target)

    def predict_mixed(
        self, noised: Noised, conditioning: Conditioning, weights: Tensor
    ) -> Prediction:
        """What the model says when it is told mixtures of candidates, in one forward pass.

        Args:
            noised: Noised samples.
            conditioning: Conditioning of all candidates.
            weights: Share of each candidate in what each sample is told, float32, of shape
                ``(batch, candidates)``. Derivatives by them can be taken.
        """
        return self.predict(noised, conditioning.mixed(weights))


def _move(modules: Sequence[nn.Module], device: torch.device) -> None:
    with torch.inference_mode(mode=False):  # in which quantised weights do not move
        for module in modules:
            module.to(device)
