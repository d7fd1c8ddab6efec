"""Qwen-Image: a flow transformer of packed latents that Qwen2.5-VL tells what to draw.

Wu et al. (2025), "Qwen-Image Technical Report".
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.packing import packed, unpacked
from diffclf_lightning.denoisers.schedules import FlowMatching
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser, floating


class QwenImage(TextConditionalDenoiser):
    """A text-to-image transformer, Qwen-Image: a language model of up to 1024 tokens."""

    pipeline_class = diffusers.QwenImagePipeline
    components = ("transformer", "scheduler", "text_encoder", "tokenizer", "vae")
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 1024}
    prompts_at_once = 1

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
    def token_limits(self) -> dict[str, int]:
        instruction = int(self._pipeline().prompt_template_encode_start_idx)
        return {"tokenizer": instruction + self.max_tokens["tokenizer"]}

    def spoken(self, prompts: Sequence[str]) -> list[str]:
        template: str = self._pipeline().prompt_template_encode
        return [template.format(prompt) for prompt in prompts]

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Last hidden states of the language model after its instruction, and their mask."""
        states, mask = self.encode_prompt(prompts, max_sequence_length=self.max_tokens["tokenizer"])
        if mask is None:  # nothing is hidden
            mask = torch.ones(states.shape[:2], dtype=torch.int64, device=states.device)
        return Conditioning({"encoder_hidden_states": states, "encoder_hidden_states_mask": mask})

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.transformer.dtype
        output = self.transformer(
            packed(x_t.to(dtype)),
            timestep=timestep,
            img_shapes=[[(1, self.size // 2, self.size // 2)]] * len(x_t),
            **floating(conditioning, dtype),
        ).sample
        return unpacked(output, self.size, self.size)
