"""FLUX.2 klein: a flow transformer that inner layers of a language model tell what to draw."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from diffclf_lightning.denoisers.chat import as_chat
from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.packing import places
from diffclf_lightning.denoisers.schedules import FlowMatching
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser, floating


class Flux2Klein(TextConditionalDenoiser):
    """A text-to-image transformer, FLUX.2 klein: Qwen3 of 512 tokens, template included.

    A latent pixel is a patch of 2 x 2 of the autoencoder's, and one token of the network.
    """

    pipeline_class = diffusers.Flux2KleinPipeline
    components = (
        "transformer",
        "scheduler",
        "text_encoder",
        "tokenizer",
        "vae",
        "is_distilled?",
    )
    options = frozenset({"image_size", "lora"})
    default_size = 64
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 512}
    prompts_at_once = 4
    """The language model's layers, and its guesses of the next words, are gigabytes for more."""

    transformer: Any

    @staticmethod
    def schedule_of(scheduler: SchedulerMixin) -> FlowMatching:
        """A flow of which the network is told the time itself."""
        return FlowMatching(scheduler, time_scale=1.0)

    def spoken(self, prompts: Sequence[str]) -> list[str]:
        return as_chat(self.tokenizer, prompts, thinking=False)

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Three inner layers of the language model beside each other, and the places of tokens."""
        states, text = self.encode_prompt(prompts, max_sequence_length=self.max_tokens["tokenizer"])
        image = places(self.size, self.size, axes=4).to(text)
        told = {"encoder_hidden_states": states, "txt_ids": text[:1], "img_ids": image[None]}
        return Conditioning(told, {"txt_ids", "img_ids"})

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.transformer.dtype
        output: Tensor = self.transformer(
            x_t.to(dtype).flatten(2).transpose(1, 2),
            timestep=timestep,
            **floating(conditioning, dtype),
        ).sample
        return output.transpose(1, 2).reshape(x_t.shape)
