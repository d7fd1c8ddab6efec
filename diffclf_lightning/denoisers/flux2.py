"""FLUX.2: flow transformers that inner layers of a language model tell what to draw."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
from diffusers.pipelines.flux2.pipeline_flux2 import format_input
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from diffclf_lightning.denoisers.chat import as_chat, check_chat_template
from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.distilled import STEPS
from diffclf_lightning.denoisers.guided import GuidanceDistilled
from diffclf_lightning.denoisers.packing import places
from diffclf_lightning.denoisers.schedules import FlowMatching
from diffclf_lightning.denoisers.text_conditional import floating


class Flux2(GuidanceDistilled):
    """A text-to-image transformer, FLUX.2 dev: Mistral 3 of 512 tokens, instruction included.

    A latent pixel is a patch of 2 x 2 of the autoencoder's, and one token of the network. Images
    are drawn with a guidance of 4.
    """

    pipeline_class: ClassVar[type[diffusers.DiffusionPipeline]] = diffusers.Flux2Pipeline
    components: ClassVar[tuple[str, ...]] = (
        "transformer",
        "scheduler",
        "text_encoder",
        "tokenizer",
        "vae",
    )
    default_size = 64
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 512}
    prompts_at_once = 4
    """The language model's layers, and its guesses of the next words, are gigabytes for more."""

    transformer: Any

    @staticmethod
    def schedule_of(scheduler: SchedulerMixin) -> FlowMatching:
        """A flow of which the network is told the time itself."""
        return FlowMatching(scheduler, time_scale=1.0)

    @property
    def tokenizers(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer.tokenizer}  # beside a processor of images

    def spoken(self, prompts: Sequence[str]) -> list[str]:
        check_chat_template(self.tokenizer)
        said = format_input(list(prompts), system_message=self._pipeline().system_message)
        spoken: list[str] = self.tokenizer.apply_chat_template(said, tokenize=False)
        return spoken

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
            guidance=self.told_guidance(timestep),
            **floating(conditioning, dtype),
        ).sample
        return output.transpose(1, 2).reshape(x_t.shape)


class Flux2Klein(Flux2):
    """A text-to-image transformer, FLUX.2 klein: Qwen3 of 512 tokens, template included.

    It is told no guidance.
    """

    pipeline_class = diffusers.Flux2KleinPipeline
    components = (*Flux2.components, "is_distilled?")

    is_distilled: bool | None
    """Whether it was distilled to draw in few steps, as its pipeline says."""

    @property
    def distilled(self) -> tuple[str, ...]:
        return (STEPS,) if self.is_distilled else ()

    @property
    def tokenizers(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer}

    def spoken(self, prompts: Sequence[str]) -> list[str]:
        return as_chat(self.tokenizer, prompts, thinking=False)
