"""How images are drawn from a denoiser: by its diffusers pipeline, or by a loop of our own.

A sampler draws each image from a generator of its own, on the CPU, so that an image depends on its
seed alone; batches and devices change it by round-off.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import inf
from typing import Any

import torch
from diffusers import DDIMScheduler
from PIL.Image import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from diffclf_lightning.candidates import Condition
from diffclf_lightning.denoisers import Conditioning, PipelineDenoiser, VariancePreserving
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import Noised

PROMPT_GUIDANCE, CLASS_GUIDANCE = 7.5, 4.0
"""Default scales of guidance: those of diffusers' Stable Diffusion and DiT pipelines."""
IMAGENET = 1000
"""The null class that diffusers' DiT pipeline takes for granted."""


class Sampler(ABC):
    """Draws images.

    Args:
        denoiser: The diffusion model.
        steps: Denoising steps.
        guidance: Scale of classifier-free guidance (Ho and Salimans 2022): 1 for none.

    Raises:
        InputError: If a number is out of range.
    """

    scheduler: Any = None
    """The diffusers scheduler whose steps it takes, or None."""

    def __init__(self, denoiser: PipelineDenoiser, steps: int, guidance: float) -> None:
        if steps < 1:
            raise InputError(f"Expected --steps to be at least 1, but got {steps}.")
        if not 1 <= guidance < inf:
            raise InputError(
                f"Expected --guidance to be at least 1 and finite, but got {guidance}."
            )
        self.denoiser, self.steps, self.guidance = denoiser, steps, guidance

    @abstractmethod
    def sample(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[Image]:
        """Images of conditions, one each.

        Args:
            conditions: Prompts, or class ids.
            seeds: Seed of each image.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What decides the images beside conditions and seeds, as plain values."""


class PipelineSampler(Sampler):
    """The model's own pipeline in diffusers, with its own scheduler.

    See :class:`Sampler` for the arguments.
    """

    def __init__(self, denoiser: PipelineDenoiser, steps: int, guidance: float) -> None:
        super().__init__(denoiser, steps, guidance)
        self.pipeline = denoiser.pipeline()
        self.pipeline.set_progress_bar_config(disable=True)
        self.scheduler = self.pipeline.scheduler
        self._takes = inspect.signature(self.pipeline.__call__).parameters

    def sample(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[Image]:
        self.pipeline.to(self.denoiser.device)
        _, height, width = self.denoiser.image_shape
        told = "prompt" if "prompt" in self._takes else "class_labels"
        sizes = {"height": height, "width": width, "use_resolution_binning": False}
        images: list[Image] = self.pipeline(
            **{told: list(conditions)},
            **{name: size for name, size in sizes.items() if name in self._takes},
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
        ).images
        return images

    def describe(self) -> dict[str, Any]:
        return {
            "sampler": type(self.pipeline).__name__,
            "scheduler": type(self.pipeline.scheduler).__name__,
            "steps": self.steps,
            "guidance": self.guidance,
        }


class OwnSampler(Sampler):
    """A loop of ours, with guidance, for models that no pipeline of diffusers runs.

    They are of pixels, or of other classes than ImageNet's. See :class:`Sampler` for the arguments.

    Raises:
        InputError: If the model cannot be told nothing where ``guidance`` is not 1.
    """

    def __init__(self, denoiser: PipelineDenoiser, steps: int, guidance: float) -> None:
        super().__init__(denoiser, steps, guidance)
        if guidance != 1:
            try:
                denoiser.unconditional()
            except InputError as error:
                raise InputError(
                    "Expected --guidance 1 of a model that cannot be told nothing, but got "
                    f"{guidance:g}."
                ) from error

    def sample(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> list[Image]:
        latents = self.latents(conditions, seeds)
        finite = latents.isfinite().flatten(1).all(dim=1)
        if not finite.all():
            raise InputError(
                "Expected finite numbers, but the model drew NaN or infinity for "
                f"{conditions[int((~finite).nonzero()[0])]!r}. Check its weights (a damaged "
                "file?), --dtype (float16 overflows where bfloat16 does not) and --guidance."
            )
        pixels = self.denoiser.decode(latents)
        return [to_pil_image(image) for image in pixels.cpu()]

    @abstractmethod
    def latents(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> Tensor:
        """Samples ``x_0`` of conditions, shape ``(images, *sample_shape)``; see :meth:`sample`."""

    def _noise(self, seeds: Sequence[int]) -> Tensor:
        shape = self.denoiser.sample_shape
        drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return torch.stack(drawn).to(self.denoiser.device)

    def _told(self, conditions: Sequence[Condition]) -> Conditioning:
        """Conditions, and behind them as many times nothing where there is guidance."""
        device = self.denoiser.device
        told = self.denoiser.condition(conditions).to(device)
        if self.guidance == 1:
            return told
        first = torch.zeros(len(conditions), dtype=torch.int64, device=device)
        return Conditioning.cat([told, self.denoiser.unconditional().rows(first)])

    def _guided(self, output: Tensor) -> Tensor:
        """What is said of conditions and nothing, as one."""
        if self.guidance == 1:
            return output
        informed, nothing = output.chunk(2)
        return nothing + self.guidance * (informed - nothing)


class DDIMSampler(OwnSampler):
    """Deterministic DDIM (Song et al. 2021, eta 0) by diffusers' scheduler.

    For variance preserving models. See :class:`OwnSampler` for the arguments and errors.
    """

    def __init__(self, denoiser: PipelineDenoiser, steps: int, guidance: float) -> None:
        super().__init__(denoiser, steps, guidance)
        self.scheduler = DDIMScheduler.from_config(denoiser.schedule.scheduler.config)
        if steps > len(self.scheduler.alphas_cumprod):
            raise InputError(
                f"Expected --steps to be at most {len(self.scheduler.alphas_cumprod)}, the steps "
                f"of the model, but got {steps}."
            )
        self.scheduler.set_timesteps(steps)

    @torch.no_grad()
    def latents(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> Tensor:
        told, x_t = self._told(conditions), self._noise(seeds)
        for timestep in self.scheduler.timesteps:
            both = x_t.repeat(told.num_rows // len(seeds), 1, 1, 1)
            timesteps = timestep.to(x_t.device).expand(len(both))
            output = self._guided(self.denoiser(both, timesteps, told).float())
            x_t = self.scheduler.step(output, timestep, x_t).prev_sample
        return x_t

    def describe(self) -> dict[str, Any]:
        return {
            "sampler": type(self).__name__,
            "scheduler": type(self.scheduler).__name__,
            "steps": self.steps,
            "guidance": self.guidance,
        }


class EulerSampler(OwnSampler):
    """Euler's steps along the path of the model's own schedule, at evenly spaced times.

    For flows, and EDM. See :class:`OwnSampler` for the arguments and errors.
    """

    @torch.no_grad()
    def latents(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> Tensor:
        told, x_t = self._told(conditions), self._noise(seeds)
        at = self.denoiser.at(torch.linspace(1, 0, self.steps + 1, dtype=torch.float64))
        at = at.to(x_t.device)
        x_t = at.sigma[0] * x_t
        for step in range(self.steps):
            both = x_t.repeat(told.num_rows // len(seeds), 1, 1, 1)
            here = torch.full((len(both),), step, device=x_t.device)
            noised = Noised(torch.zeros_like(both), both / at.sigma[step], at[here])
            velocity = self._guided(self.denoiser.predict(noised, told).velocity)
            x_t = x_t + (at.sigma[step + 1] - at.sigma[step]) * velocity
        return x_t

    def describe(self) -> dict[str, Any]:
        schedule = self.denoiser.schedule.describe()
        sampled = {"sampler": type(self).__name__, "steps": self.steps, "guidance": self.guidance}
        return {**sampled, "schedule": schedule}


def sampler_of(denoiser: PipelineDenoiser, steps: int, guidance: float | None = None) -> Sampler:
    """The sampler of a model: its pipeline where that can run it, else a loop of ours.

    Args:
        denoiser: The model.
        steps: Denoising steps.
        guidance: Scale of guidance. Defaults to None: 7.5 of prompts and 4 of classes.
    """
    if guidance is None:
        guidance = PROMPT_GUIDANCE if denoiser.num_classes is None else CLASS_GUIDANCE
    takes = inspect.signature(denoiser.pipeline_class.__call__).parameters
    of_imagenet = "class_labels" in takes and getattr(denoiser, "null_class", None) == IMAGENET
    runs = denoiser.vae is not None and ("prompt" in takes or of_imagenet)
    preserving = isinstance(denoiser.schedule, VariancePreserving)
    own: type[Sampler] = DDIMSampler if preserving else EulerSampler
    return (PipelineSampler if runs else own)(denoiser, steps, guidance)
