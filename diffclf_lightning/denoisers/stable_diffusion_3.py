"""Stable Diffusion 3 and 3.5: a flow transformer that three text encoders tell what to draw.

Esser et al. (2024). T5 may be left out: the network was trained without it now and then.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
from torch import Tensor

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser, floating


class StableDiffusion3(TextConditionalDenoiser):
    """A text-to-image transformer, trained with a flow: two CLIPs of 77 tokens, T5 of 256.

    Without T5 its place is taken by zeros, as in diffusers' pipeline.
    """

    pipeline_class = diffusers.StableDiffusion3Pipeline
    components = (
        "transformer",
        "scheduler",
        "text_encoder",
        "text_encoder_2",
        "text_encoder_3?",
        "tokenizer",
        "tokenizer_2",
        "tokenizer_3?",
        "vae",
    )
    options = frozenset({"leave_out"})
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer_3": 256}

    transformer: Any

    @property
    def patches_at_most(self) -> int:
        return int(self.config.pos_embed_max_size)

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Hidden states of the CLIPs, beside each other, then T5's; pooled ones of the CLIPs."""
        states, _, pooled, _ = self.encode_prompt(
            prompts,
            prompt_2=None,
            prompt_3=None,
            do_classifier_free_guidance=False,
            max_sequence_length=self.max_tokens["tokenizer_3"],
        )
        return Conditioning({"encoder_hidden_states": states, "pooled_projections": pooled})

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.transformer.dtype
        output: Tensor = self.transformer(
            x_t.to(dtype), timestep=timestep, **floating(conditioning, dtype)
        ).sample
        return output
