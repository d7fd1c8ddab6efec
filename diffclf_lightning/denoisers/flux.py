"""FLUX.1: a flow transformer of packed latents that T5 and CLIP tell what to draw."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.distilled import STEPS
from diffclf_lightning.denoisers.guided import GuidanceDistilled
from diffclf_lightning.denoisers.packing import packed, places, unpacked
from diffclf_lightning.denoisers.schedules import FlowMatching
from diffclf_lightning.denoisers.text_conditional import floating


class Flux(GuidanceDistilled):
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
