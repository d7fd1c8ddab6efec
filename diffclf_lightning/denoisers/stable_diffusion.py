"""Stable Diffusion: a U-Net that is told what to draw by a text encoder.

1.x, 2.x and what has their form: ``unet``, ``text_encoder``, ``tokenizer``, ``scheduler`` and, but
for models of pixels, ``vae`` (Rombach et al. 2022).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import diffusers
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor, nn

from diffclf_lightning.candidates import Condition
from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.pipeline import PipelineDenoiser
from diffclf_lightning.denoisers.schedules import schedule_of
from diffclf_lightning.errors import InputError

PROMPTS_PER_BATCH = 64


class StableDiffusion(PipelineDenoiser):
    """A text-to-image U-Net.

    Args:
        unet: ``UNet2DConditionModel``.
        scheduler: The scheduler that it was trained with.
        text_encoder: ``CLIPTextModel``.
        tokenizer: Its tokenizer.
        vae: ``AutoencoderKL``, or None for a model of pixels.
        image_size: Side of the images, a multiple of the autoencoder's factor. Defaults to None:
            the size that the U-Net was trained with.
        train_text_encoder: Whether ``fit`` trains the text encoder too.
    """

    pipeline_class = diffusers.StableDiffusionPipeline
    components = ("unet", "scheduler", "text_encoder", "tokenizer", "vae?")
    options = frozenset({"image_size", "lora"})

    unet: Any
    text_encoder: Any
    tokenizer: Any

    def __init__(
        self,
        unet: nn.Module,
        scheduler: SchedulerMixin,
        text_encoder: nn.Module,
        tokenizer: Any,
        vae: nn.Module | None = None,
        image_size: int | None = None,
        train_text_encoder: bool = False,
    ) -> None:
        super().__init__(schedule_of(scheduler), vae)
        self.unet, self.text_encoder, self.tokenizer = unet, text_encoder, tokenizer
        text_encoder.requires_grad_(train_text_encoder)
        factor = self.vae_factor
        self.size = self.unet.config.sample_size if image_size is None else image_size // factor
        if image_size is not None and image_size % factor:
            raise InputError(
                f"Expected argument `image_size` as a multiple of {factor}, but got {image_size}."
            )
        if vae is not None and self.vae.config.latent_channels != self.unet.config.in_channels:
            raise InputError(
                f"Expected a U-Net of {self.vae.config.latent_channels} channels, as the latents "
                f"have, but got {self.unet.config.in_channels}. Inpainting and editing models are "
                "not supported."
            )
        if self.text_encoder.config.hidden_size != self.unet.config.cross_attention_dim:
            raise InputError(
                f"Expected a text encoder of width {self.unet.config.cross_attention_dim}, but got "
                f"{self.text_encoder.config.hidden_size}. Take the pipeline's own."
            )

    @property
    def network(self) -> nn.Module:
        network: nn.Module = self.unet
        return network

    @property
    def chosen_options(self) -> dict[str, Any]:
        trained = any(weight.requires_grad for weight in self.text_encoder.parameters())
        return {"image_size": self.size * self.vae_factor, "train_text_encoder": trained}

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        return self.unet.config.in_channels, self.size, self.size

    @property
    def max_tokens(self) -> int:
        """Length of a prompt in tokens, begin and end included."""
        return int(self.text_encoder.config.max_position_embeddings)

    def check(self, conditions: Sequence[Condition]) -> None:
        self._tokens([prompt for condition in conditions for prompt in _prompts(condition)])

    def condition(self, conditions: Sequence[Condition]) -> Conditioning:
        """Text embeddings of prompts; the mean over the prompts of a tuple.

        They are last hidden states, ``encoder_hidden_states`` of shape
        ``(conditions, max_tokens, width)``.

        Raises:
            InputError: If a prompt is longer than the text encoder can read, or is no text.
        """
        groups = [_prompts(condition) for condition in conditions]
        ids = self._tokens([prompt for group in groups for prompt in group])
        # All prompts together may be gigabytes: the device gets them when it is known to have room.
        home = self.device if self.training else torch.device("cpu")
        with self.speaking(self.text_encoder):
            states = [
                self.text_encoder(part.to(self.device))[0].to(home)
                for part in ids.split(PROMPTS_PER_BATCH)
            ]
        told = Conditioning({"encoder_hidden_states": torch.cat(states)})
        return told.mean([len(group) for group in groups]).where_it_fits(self.device)

    def _tokens(self, prompts: Sequence[str]) -> Tensor:
        longest = self.max_tokens
        tokens = self.tokenizer(
            list(prompts), truncation=False, padding="max_length", max_length=longest
        )["input_ids"]
        for prompt, ids in zip(prompts, tokens, strict=True):
            if len(ids) > longest:
                raise InputError(
                    f"Expected prompts of at most {longest} tokens, but {prompt!r} has "
                    f"{len(ids)}. Shorten the template or the class name."
                )
        return torch.tensor(tokens)

    def unconditional(self) -> Conditioning:
        """Embedding of the empty prompt."""
        return self.condition([""])

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.unet.dtype
        told = {keyword: tensor.to(dtype) for keyword, tensor in conditioning.items()}
        output: Tensor = self.unet(x_t.to(dtype), timestep, **told).sample
        return output


def _prompts(condition: Condition) -> tuple[str, ...]:
    if isinstance(condition, int):
        raise InputError(
            f"Expected prompts, but got {condition!r}. This model takes text, not class ids: give "
            "`template`, or `candidates` with prompts."
        )
    return (condition,) if isinstance(condition, str) else tuple(condition)
