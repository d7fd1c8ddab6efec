"""Lumina-Image 2: a flow transformer of text and image in one row; Gemma 2 reads the text.

Qin et al. (2025). The system prompt that diffusers' pipeline puts before prompts is part of what
the network is told, and is not said where nothing is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.schedules import FlowMatching
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser, floating


class Lumina2(TextConditionalDenoiser):
    """A text-to-image transformer, Lumina-Image 2: 256 tokens with the system prompt."""

    pipeline_class = diffusers.Lumina2Pipeline
    components = ("transformer", "scheduler", "text_encoder", "tokenizer", "vae")
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 256}

    transformer: Any

    @staticmethod
    def schedule_of(scheduler: SchedulerMixin) -> FlowMatching:
        """A flow from noise, at time 0, to the image, of which the network outputs the velocity."""
        return FlowMatching(scheduler, time_scale=1.0, sign=-1, reversed_time=True)

    def spoken(self, prompts: Sequence[str]) -> list[str]:
        system = self._pipeline().system_prompt
        return [f"{system} <Prompt Start> {prompt}" for prompt in prompts]

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Next to last hidden states, and the mask by which the network counts the text."""
        states, mask, _, _ = self._encoded(prompts, do_classifier_free_guidance=False)
        return Conditioning({"encoder_hidden_states": states, "encoder_attention_mask": mask})

    def told_nothing(self) -> Conditioning:
        """The empty prompt, without the system prompt."""
        _, _, states, mask = self._encoded([""], do_classifier_free_guidance=True)
        return Conditioning({"encoder_hidden_states": states, "encoder_attention_mask": mask})

    def _encoded(self, prompts: Sequence[str], **options: Any) -> Any:
        limit = self.max_tokens["tokenizer"]
        return self.encode_prompt(prompts, max_sequence_length=limit, **options)

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.transformer.dtype
        output: Tensor = self.transformer(
            x_t.to(dtype), timestep=timestep, **floating(conditioning, dtype)
        ).sample
        return output
