"""FLUX.1: a flow transformer of packed latents that T5 and CLIP tell what to draw."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
from torch import Tensor

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.distilled import STEPS
from diffclf_lightning.denoisers.guided import GuidanceDistilled
from diffclf_lightning.denoisers.packing import PackedFlow, packed, places, unpacked
from diffclf_lightning.denoisers.text_conditional import floating


class Flux(GuidanceDistilled, PackedFlow):
    """A text-to-image transformer, FLUX.1 dev and schnell: T5 of 512 tokens, CLIP for the whole.

    Images have sides that are multiples of 16; FLUX.1-dev draws them with a guidance of 3.5.
    """

    pipeline_class = diffusers.FluxPipeline
    components = (
        "transformer",
        "scheduler",
        "text_encoder",
        "text_encoder_2",
        "tokenizer",
        "tokenizer_2",
        "vae",
    )
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer_2": 512}

    transformer: Any

    @property
    def distilled(self) -> tuple[str, ...]:
        return super().distilled or (STEPS,)

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Last hidden states of T5, the pooled one of CLIP, and the places of tokens."""
        states, pooled, text = self.encode_prompt(
            prompts, prompt_2=None, max_sequence_length=self.max_tokens["tokenizer_2"]
        )
        image = places(self.size // 2, self.size // 2).to(text)
        told = {"encoder_hidden_states": states, "pooled_projections": pooled}
        return Conditioning({**told, "txt_ids": text, "img_ids": image}, {"txt_ids", "img_ids"})

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.transformer.dtype
        output = self.transformer(
            packed(x_t.to(dtype)),
            timestep=timestep,
            guidance=self.told_guidance(timestep),
            **floating(conditioning, dtype),
        ).sample
        return unpacked(output, self.size, self.size)
