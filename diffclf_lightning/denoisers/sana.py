"""Sana: a flow transformer of deeply compressed latents that Gemma 2 tells what to draw.

Xie et al. (2025). The instruction that diffusers' pipeline puts before prompts (the paper's Section
2.3) is part of what the network is told, and is not said where nothing is.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
from torch import Tensor, nn

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser, floating
from diffclf_lightning.errors import InputError

INSTRUCTION: list[str] = (
    inspect.signature(diffusers.SanaPipeline.__call__)
    .parameters["complex_human_instruction"]
    .default
)
"""Lines that come before a prompt: the pipeline's own."""


class Sana(TextConditionalDenoiser):
    """A text-to-image transformer, Sana 1 and 1.5: Gemma 2, 300 tokens after the instruction.

    Prompts become lower case, as in diffusers' pipeline. Sana-Sprint, which follows no flow of this
    form, is refused.
    """

    pipeline_class = diffusers.SanaPipeline
    components = ("transformer", "scheduler", "text_encoder", "tokenizer", "vae")
    default_size = 32
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 300}

    transformer: Any

    def __init__(self, *, transformer: nn.Module, **options: Any) -> None:
        config: Any = transformer.config
        if config.guidance_embeds:
            raise InputError(
                "Expected a Sana model of flow matching, but got one that is told a scale of "
                "guidance: Sana-Sprint, distilled to few steps of another path. Take the model "
                "that it was distilled from."
            )
        super().__init__(transformer=transformer, **options)

    @property
    def token_limits(self) -> dict[str, int]:
        instruction = len(self.tokenizer.encode("\n".join(INSTRUCTION)))
        return {"tokenizer": instruction + self.max_tokens["tokenizer"] - 2}

    def spoken(self, prompts: Sequence[str]) -> list[str]:
        return ["\n".join(INSTRUCTION) + prompt.lower().strip() for prompt in prompts]

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Last hidden states of the begin and of the 299 tokens at the end, and their mask."""
        states, mask, _, _ = self._encoded(prompts, do_classifier_free_guidance=False)
        return Conditioning({"encoder_hidden_states": states, "encoder_attention_mask": mask})

    def told_nothing(self) -> Conditioning:
        """The empty prompt, without the instruction."""
        _, _, states, mask = self._encoded([""], do_classifier_free_guidance=True)
        return Conditioning({"encoder_hidden_states": states, "encoder_attention_mask": mask})

    def _encoded(self, prompts: Sequence[str], **options: Any) -> Any:
        return self.encode_prompt(
            prompts,
            max_sequence_length=self.max_tokens["tokenizer"],
            complex_human_instruction=INSTRUCTION,
            **options,
        )

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.transformer.dtype
        output: Tensor = self.transformer(
            x_t.to(dtype),
            timestep=timestep * self.config.timestep_scale,
            **floating(conditioning, dtype),
        ).sample
        return output[:, : x_t.shape[1]]
