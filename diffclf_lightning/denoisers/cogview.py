"""CogView3-Plus (Zheng et al. 2024) and CogView4: transformers that are told of sizes too.

CogView3-Plus predicts the velocity of a variance preserving schedule, CogView4 that of a flow.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
import torch
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.pipelines.cogview4.pipeline_cogview4 import calculate_shift
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.schedules import FlowMatching
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser, floating


class ShiftedFlow(FlowMatching):
    r"""A flow whose times say less than the share of noise: :math:`\sigma = s t / (1 + (s - 1) t)`.

    The shift ``s`` is part of the model here: of noise :math:`\sigma` the network is told ``t``.

    Args:
        scheduler: The diffusers scheduler.
        shift: ``s``, positive; 3.25 for 1024 pixels.
    """

    def __init__(self, scheduler: Any, shift: float) -> None:
        super().__init__(scheduler)
        self.shift = shift

    def scales(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        time = timestep.float() / self.time_scale
        whole = 1 + (self.shift - 1) * time
        return (1 - time) / whole, self.shift * time / whole

    def describe(self) -> dict[str, str]:
        return {**super().describe(), "shift": f"{self.shift:g}"}


class CogView3Plus(TextConditionalDenoiser):
    """A text-to-image transformer: T5 of 224 tokens, whose padding is read as it is.

    The original size is that of the images, and nothing is cropped away. "Nothing said" is what the
    pipeline is guided away from: zeros.
    """

    pipeline_class: ClassVar[type[diffusers.DiffusionPipeline]] = diffusers.CogView3PlusPipeline
    components = ("transformer", "scheduler", "text_encoder", "tokenizer", "vae")
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 224}

    transformer: Any

    @property
    def patches_at_most(self) -> int | None:
        most: int | None = self.config.get("pos_embed_max_size")  # CogView4 has places for any size
        return most

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """States of the text encoder, and the sizes."""
        return Conditioning(self._told(prompts, place=0))

    def told_nothing(self) -> Conditioning:
        return Conditioning(self._told([""], place=1))

    def _told(self, prompts: Sequence[str], place: int) -> dict[str, Tensor]:
        """What the network is told of prompts, or at place 1 of nothing."""
        states: Tensor = self.encode_prompt(
            prompts,
            do_classifier_free_guidance=place == 1,
            max_sequence_length=self.max_tokens["tokenizer"],
        )[place]
        side = states.new_full((len(states), 2), self.image_shape[1])
        told = {"encoder_hidden_states": states, "original_size": side, "target_size": side}
        return {**told, "crop_coords": torch.zeros_like(side)}

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.transformer.dtype
        output: Tensor = self.transformer(
            x_t.to(dtype), timestep=timestep, **floating(conditioning, dtype)
        ).sample
        return output


class CogView4(CogView3Plus):
    """A text-to-image transformer that reads English and Chinese: GLM-4 of up to 1024 tokens.

    As diffusers' pipeline pads them, prompts have a multiple of 16 tokens, each for itself. Sizes
    are those of :class:`CogView3Plus`; "nothing said" is the empty prompt.
    """

    pipeline_class = diffusers.CogView4Pipeline
    options = frozenset({"image_size"})
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 1024}
    prompts_at_once = 1

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.schedule = ShiftedFlow(self.schedule.scheduler, self._shift())
        for block in self.transformer.transformer_blocks:
            block.attn1.set_processor(MaskedAttention())

    def _shift(self) -> float:
        """The shift of the scheduler, which grows with the images."""
        config = self.schedule.scheduler.config
        if not config.use_dynamic_shifting:
            return float(config.shift)
        tokens = (self.size // self.config.patch_size) ** 2
        limits = config.base_image_seq_len, config.base_shift, config.max_shift
        mu = calculate_shift(tokens, *limits)
        return mu if config.time_shift_type == "linear" else math.exp(mu)

    def _told(self, prompts: Sequence[str], place: int) -> dict[str, Tensor]:
        told = super()._told(prompts, place)
        states = told["encoder_hidden_states"]
        mask = torch.ones(states.shape[:2], dtype=torch.int64, device=states.device)
        return {**told, "attention_mask": mask}


class MaskedAttention:
    """Attention of text and image that no padding takes part in.

    diffusers' own adds the mask, zeros and ones, to the logits.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """New states of the image and of the text.

        Args:
            attn: The layer.
            hidden_states: The image, shape ``(batch, patches, width)``.
            encoder_hidden_states: The text, shape ``(batch, tokens, width)``.
            attention_mask: Which tokens are read, shape ``(batch, tokens)``, or None for all.
            image_rotary_emb: Cosines and sines of the patches' places.
        """
        length = encoder_hidden_states.shape[1]
        states = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        query, key, value = (
            layer(states).unflatten(2, (attn.heads, -1)).transpose(1, 2)
            for layer in (attn.to_q, attn.to_k, attn.to_v)
        )
        query, key = (
            torch.cat([part[:, :, :length], _rotated(part[:, :, length:], image_rotary_emb)], dim=2)
            for part in (attn.norm_q(query).to(value), attn.norm_k(key).to(value))
        )
        seen = None
        if attention_mask is not None:
            patches = hidden_states.shape[1]
            seen = pad(attention_mask.bool(), (0, patches), value=True)[:, None, None]
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=seen)
        output = mixed.transpose(1, 2).flatten(2)
        for layer in attn.to_out:
            output = layer(output)
        return output[:, length:], output[:, :length]


def _rotated(part: Tensor, places: tuple[Tensor, Tensor] | None) -> Tensor:
    if places is None:
        return part
    rotated: Tensor = apply_rotary_emb(part, places, use_real_unbind_dim=-2)
    return rotated
