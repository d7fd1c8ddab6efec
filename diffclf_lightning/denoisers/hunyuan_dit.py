"""HunyuanDiT: a transformer that a bilingual CLIP and mT5 tell what to draw (Li et al. 2024)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import diffusers
import torch
from diffusers.models.embeddings import get_2d_rotary_pos_embed
from torch import Tensor

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser, floating
from diffclf_lightning.denoisers.variance import WithVariance

BASE = 512
"""Side of the images, in pixels, across which the places of all sizes are spread."""
ORIGINAL = 1024
"""Side of the image before it was scaled, in pixels, which the pipeline tells at every size."""


class HunyuanDiT(WithVariance, TextConditionalDenoiser):
    """A text-to-image transformer that reads English and Chinese: CLIP of 77 tokens, mT5 of 256.

    The padding of both is masked. Versions up to 1.1 are told sizes and a style too, those of
    diffusers' pipeline: an original of 1024 pixels of which nothing is cropped away. In half
    precision the time is rounded to the network's type, as there.
    """

    pipeline_class = diffusers.HunyuanDiTPipeline
    components = (
        "transformer",
        "scheduler",
        "text_encoder",
        "text_encoder_2",
        "tokenizer",
        "tokenizer_2",
        "vae",
    )
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 77, "tokenizer_2": 256}

    transformer: Any

    @property
    def out_channels(self) -> int:
        return int(self.transformer.out_channels)

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Last hidden states of both encoders with their masks, sizes, style, and rotations."""
        told: dict[str, Tensor] = {}
        for place, suffix in enumerate(("", "_t5")):
            states, _, mask, _ = self.encode_prompt(
                prompts, do_classifier_free_guidance=False, text_encoder_index=place
            )
            told |= {f"encoder_hidden_states{suffix}": states, f"text_embedding_mask{suffix}": mask}
        height, width = self.image_shape[1:]
        sizes = states.new_tensor([ORIGINAL, ORIGINAL, height, width, 0, 0])
        told["image_meta_size"] = sizes.repeat(len(states), 1)
        told["style"] = torch.zeros(len(states), dtype=torch.int64, device=states.device)
        return Conditioning(
            {**told, "image_rotary_emb": self._rotations(states.device)}, {"image_rotary_emb"}
        )

    def _rotations(self, device: torch.device) -> Tensor:
        """Cosines and sines of the patches' places, ``(2, patches, width of a head)``."""
        pixels = self.vae_factor * self.config.patch_size
        side, base = self.size // self.config.patch_size, BASE // pixels
        head = self.transformer.inner_dim // self.transformer.num_heads
        return torch.stack(
            get_2d_rotary_pos_embed(head, ((0, 0), (base, base)), (side, side), device=device)
        )

    def output(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.transformer.dtype
        told = dict(conditioning)
        rotations = tuple(told.pop("image_rotary_emb"))
        output: Tensor = self.transformer(
            x_t.to(dtype), timestep.to(dtype), image_rotary_emb=rotations, **floating(told, dtype)
        ).sample
        return output
