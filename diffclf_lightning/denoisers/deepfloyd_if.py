"""DeepFloyd IF, stage I: a U-Net of pixels that T5 tells what to draw, in the form of Imagen.

Saharia et al. (2022). Of the cascade only the first stage, of 64 pixels, draws from a prompt alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
from torch import Tensor

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.text_conditional import (
    TextConditionalDenoiser,
    check_width,
    floating,
)
from diffclf_lightning.denoisers.variance import WithVariance


class DeepFloydIF(WithVariance, TextConditionalDenoiser):
    """A text-to-image U-Net of pixels, stage I of DeepFloyd IF: T5 of 77 tokens.

    Prompts become lower case. The padding is masked in T5, and read by the U-Net. Punctuation stays
    as it is written: in diffusers' pipeline that is ``clean_caption=False``.
    """

    pipeline_class = diffusers.IFPipeline
    components = ("unet", "scheduler", "text_encoder", "tokenizer")
    options = frozenset({"image_size"})
    default_size = 64
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 77}

    unet: Any

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        check_width(
            self.text_encoder, self.config.encoder_hid_dim or self.config.cross_attention_dim
        )

    def spoken(self, prompts: Sequence[str]) -> list[str]:
        return [prompt.lower().strip() for prompt in prompts]

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Last hidden states of T5, ``(prompts, 77, width)``."""
        tokens = self.tokens(prompts)  # the pipeline's `encode_prompt` would take no gradient
        return Conditioning({"encoder_hidden_states": self.text_encoder(**tokens)[0]})

    def output(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.unet.dtype
        output: Tensor = self.unet(x_t.to(dtype), timestep, **floating(conditioning, dtype)).sample
        return output
