"""AuraFlow: a flow transformer that a multilingual T5 tells what to draw.

Trained by fal in 2024 (its blog, "Introducing AuraFlow v0.1"). The padding of prompts is zeros.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.schedules import FlowMatching
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser


class AuraFlow(TextConditionalDenoiser):
    """A text-to-image transformer, AuraFlow: prompts of up to 256 tokens."""

    pipeline_class = diffusers.AuraFlowPipeline
    components = ("transformer", "scheduler", "text_encoder", "tokenizer", "vae")
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 256}

    transformer: Any

    @staticmethod
    def schedule_of(scheduler: SchedulerMixin) -> FlowMatching:
        """A flow of which the network is told the time itself."""
        return FlowMatching(scheduler, time_scale=1.0)

    @property
    def patches_at_most(self) -> int:
        return math.isqrt(self.config.pos_embed_max_size)  # it would take places from elsewhere

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Last hidden states of T5, zeros where there is padding, and a mask of it.

        The network is not told the mask; means of prompts are made by it.
        """
        states, mask, _, _ = self.encode_prompt(
            prompts,
            do_classifier_free_guidance=False,
            max_sequence_length=self.max_tokens["tokenizer"],
        )
        mask = mask.reshape(states.shape)[:, :, 0]  # the pipeline has it for each number
        return Conditioning({"encoder_hidden_states": states, "mask": mask})

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.transformer.dtype
        output: Tensor = self.transformer(
            x_t.to(dtype),
            timestep=timestep,
            encoder_hidden_states=conditioning["encoder_hidden_states"].to(dtype),
        ).sample
        return output
