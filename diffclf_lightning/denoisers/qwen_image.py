"""Qwen-Image: a flow transformer of packed latents that Qwen2.5-VL tells what to draw.

Wu et al. (2025), "Qwen-Image Technical Report".
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
import torch
from torch import Tensor

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.packing import PackedFlow, packed, unpacked
from diffclf_lightning.denoisers.text_conditional import floating


class QwenImage(PackedFlow):
    """A text-to-image transformer, Qwen-Image: a language model of up to 1024 tokens."""

    pipeline_class = diffusers.QwenImagePipeline
    components = ("transformer", "scheduler", "text_encoder", "tokenizer", "vae")
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 1024}
    prompts_at_once = 1

    transformer: Any

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
