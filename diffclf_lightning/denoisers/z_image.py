"""Z-Image: a flow transformer of one stream of text and image that Qwen3 tells what to draw.

Its network is told 1 - t, and says x_0 minus noise.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from diffclf_lightning.denoisers.chat import as_chat
from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.schedules import FlowMatching
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser


class ZImage(TextConditionalDenoiser):
    """A text-to-image transformer, Z-Image: Qwen3 of 512 tokens, template included."""

    pipeline_class = diffusers.ZImagePipeline
    components = ("transformer", "scheduler", "text_encoder", "tokenizer", "vae")
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 512}
    prompts_at_once = 1

    transformer: Any

    @staticmethod
    def schedule_of(scheduler: SchedulerMixin) -> FlowMatching:
        """A flow from the noise to the image, of which the network is told how far it came."""
        return FlowMatching(scheduler, time_scale=1.0, sign=-1, reversed_time=True)

    @property
    def size_multiple(self) -> int:
        return 2 * self.vae_factor

    @property
    def patches_at_most(self) -> int:
        return int(min(self.config.axes_lens[1:]))

    def spoken(self, prompts: Sequence[str]) -> list[str]:
        return as_chat(self.tokenizer, prompts, thinking=True)

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Next to last hidden states of the language model, and a mask of them."""
        (states,), _ = self.encode_prompt(
            prompts,
            do_classifier_free_guidance=False,
            max_sequence_length=self.max_tokens["tokenizer"],
        )
        mask = torch.ones(1, len(states), dtype=torch.bool, device=states.device)
        return Conditioning({"cap_feats": states[None], "cap_mask": mask})

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.transformer.dtype
        captions = conditioning["cap_feats"].to(dtype)
        masks = conditioning["cap_mask"].bool()
        output = self.transformer(
            list(x_t.to(dtype)[:, :, None]),
            timestep,
            [caption[mask] for caption, mask in zip(captions, masks, strict=True)],
        ).sample
        return torch.stack(output)[:, :, 0]
