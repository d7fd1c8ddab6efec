"""Stable Diffusion: a U-Net that is told what to draw by text encoders.

1.x, 2.x and what has their form (Rombach et al. 2022), and XL (Podell et al. 2023).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor, nn

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.text_conditional import (
    TextConditionalDenoiser,
    check_width,
    floating,
)


class StableDiffusion(TextConditionalDenoiser):
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

    unet: Any

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
        super().__init__(
            unet=unet,
            scheduler=scheduler,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            vae=vae,
            image_size=image_size,
            train_text_encoder=train_text_encoder,
        )
        check_width(text_encoder, self.config.cross_attention_dim)

    @property
    def token_limits(self) -> dict[str, int]:
        return {"tokenizer": int(self.text_encoder.config.max_position_embeddings)}

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Last hidden states of the text encoder, ``(prompts, limit, width)``."""
        states = self.text_encoder(self.tokens(prompts)["input_ids"])[0]
        return Conditioning({"encoder_hidden_states": states})

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.unet.dtype
        output: Tensor = self.unet(x_t.to(dtype), timestep, **floating(conditioning, dtype)).sample
        return output


class StableDiffusionXL(TextConditionalDenoiser):
    """A text-to-image U-Net that two text encoders tell what to draw, and how large.

    The original size is that of the images, and nothing is cropped away. "Nothing said" is what the
    pipeline is guided away from: zeros, where the model was trained so.
    """

    pipeline_class = diffusers.StableDiffusionXLPipeline
    components: ClassVar[tuple[str, ...]] = (
        "unet",
        "scheduler",
        "text_encoder",
        "text_encoder_2",
        "tokenizer",
        "tokenizer_2",
        "vae",
        "force_zeros_for_empty_prompt?",
    )

    unet: Any

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Next to last hidden states of both, the pooled ones of the second, and the size."""
        states, _, pooled, _ = self.encode_prompt(prompts, do_classifier_free_guidance=False)
        return self._told(states, pooled)

    def told_nothing(self) -> Conditioning:
        _, states, _, pooled = self.encode_prompt([""], do_classifier_free_guidance=True)
        return self._told(states, pooled)

    def _told(self, states: Tensor, pooled: Tensor) -> Conditioning:
        height, width = self.image_shape[1:]
        sizes = pooled.new_tensor([height, width, 0, 0, height, width])
        told = {"encoder_hidden_states": states, "text_embeds": pooled}
        return Conditioning({**told, "time_ids": sizes.repeat(len(states), 1)})

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.unet.dtype
        told = floating(conditioning, dtype)
        output: Tensor = self.unet(
            x_t.to(dtype),
            timestep,
            encoder_hidden_states=told.pop("encoder_hidden_states"),
            added_cond_kwargs=told,
        ).sample
        return output
