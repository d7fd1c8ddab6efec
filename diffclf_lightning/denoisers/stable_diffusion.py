"""Stable Diffusion: a U-Net that is told what to draw by a text encoder.

1.x, 2.x and what has their form: ``unet``, ``text_encoder``, ``tokenizer``, ``scheduler`` and, but
for models of pixels, ``vae`` (Rombach et al. 2022).
"""

from collections.abc import Mapping
from typing import Any

import diffusers
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor, nn

from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser


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
    options = frozenset({"image_size", "lora"})

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
        config: Any = unet.config
        parts = (unet, scheduler, text_encoder, tokenizer, vae, image_size, train_text_encoder)
        super().__init__(*parts, config.cross_attention_dim)

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.unet.dtype
        told = {keyword: tensor.to(dtype) for keyword, tensor in conditioning.items()}
        output: Tensor = self.unet(x_t.to(dtype), timestep, **told).sample
        return output
