"""PixArt: a transformer that is told what to draw by a text encoder.

PixArt-alpha (Chen et al. 2023) and PixArt-Sigma (Chen et al. 2024), with T5, and what has their
form with CLIP: ``transformer``, ``text_encoder``, ``tokenizer``, ``scheduler`` and, but for models
of pixels, ``vae``.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import diffusers
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor, nn
from transformers import T5EncoderModel

from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.text_conditional import (
    TextConditionalDenoiser,
    check_width,
    floating,
)
from diffclf_lightning.denoisers.variance import WithVariance


class PixArt(WithVariance, TextConditionalDenoiser):
    """A text-to-image transformer, PixArt-alpha.

    Prompts become lower case, as in diffusers' pipelines. The padding of T5 is masked, in the text
    encoder and in the transformer; that of CLIP is not, as in Stable Diffusion.

    Args:
        transformer: ``PixArtTransformer2DModel``.
        scheduler: The scheduler that it was trained with.
        text_encoder: ``T5EncoderModel`` or ``CLIPTextModel``.
        tokenizer: Its tokenizer.
        vae: ``AutoencoderKL``, or None for a model of pixels.
        image_size: Side of the images, a multiple of the autoencoder's factor. Defaults to None:
            the size that the transformer was trained with.
        train_text_encoder: Whether ``fit`` trains the text encoder too.
    """

    pipeline_class = diffusers.PixArtAlphaPipeline
    components = ("transformer", "scheduler", "text_encoder", "tokenizer", "vae?")
    t5_tokens: ClassVar[int] = 120
    """Length of a prompt for T5, which has no limit of its own."""

    transformer: Any

    def __init__(
        self,
        transformer: nn.Module,
        scheduler: SchedulerMixin,
        text_encoder: nn.Module,
        tokenizer: Any,
        vae: nn.Module | None = None,
        image_size: int | None = None,
        train_text_encoder: bool = False,
    ) -> None:
        super().__init__(
            transformer=transformer,
            scheduler=scheduler,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            vae=vae,
            image_size=image_size,
            train_text_encoder=train_text_encoder,
        )
        check_width(text_encoder, self.config.caption_channels or self.config.cross_attention_dim)
        self.masked = isinstance(text_encoder, T5EncoderModel)

    @property
    def token_limits(self) -> dict[str, int]:
        if self.masked:
            return {"tokenizer": self.t5_tokens}
        return {"tokenizer": int(self.text_encoder.config.max_position_embeddings)}

    def spoken(self, prompts: Sequence[str]) -> list[str]:
        return [prompt.lower().strip() for prompt in prompts]

    def told(self, prompts: Sequence[str]) -> Conditioning:
        """Last hidden states of the text encoder, and with T5 the mask of its padding."""
        tokens = self.tokens(prompts)
        if not self.masked:
            states = self.text_encoder(tokens["input_ids"])[0]
            return Conditioning({"encoder_hidden_states": states})
        mask = tokens["attention_mask"]
        states = self.text_encoder(tokens["input_ids"], attention_mask=mask)[0]
        return Conditioning({"encoder_hidden_states": states, "encoder_attention_mask": mask})

    def output(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        dtype = self.transformer.dtype
        output: Tensor = self.transformer(
            x_t.to(dtype),
            timestep=timestep,
            added_cond_kwargs=self._added(x_t, dtype),
            **floating(conditioning, dtype),
        ).sample
        return output

    def _added(self, x_t: Tensor, dtype: torch.dtype) -> dict[str, Tensor | None]:
        """Height, width and aspect ratio of the image, where the network was trained with them."""
        if not self.transformer.use_additional_conditions:
            return {"resolution": None, "aspect_ratio": None}
        height, width = self.image_shape[1:]
        size = torch.tensor([[height, width]], dtype=dtype, device=x_t.device)
        ratio = torch.tensor([[height / width]], dtype=dtype, device=x_t.device)
        return {
            "resolution": size.repeat(len(x_t), 1),
            "aspect_ratio": ratio.repeat(len(x_t), 1),
        }

    @contextmanager
    def windows(self, corners: Tensor) -> Iterator[None]:
        """Within, samples are windows of larger ones, and keep their places in these.

        Args:
            corners: Row and column of each window's upper left pixel (of the latent), multiples of
                the patch size, shape ``(batch, 2)``.
        """

        def placed(embedding: Any, inputs: tuple[Tensor], _: Tensor) -> Tensor:
            patches = embedding.proj(inputs[0])
            first = (corners // embedding.patch_size).to(patches.device)
            rows, columns = (
                first[:, [axis]] + torch.arange(patches.shape[2 + axis], device=patches.device)
                for axis in (0, 1)
            )
            places = (rows[:, :, None] * embedding.width + columns[:, None]).flatten(1)
            own = embedding.pos_embed[0, places.to(embedding.pos_embed.device)]
            embedded: Tensor = (patches.flatten(2).transpose(1, 2) + own).to(patches.dtype)
            return embedded

        hook = self.transformer.pos_embed.register_forward_hook(placed)
        try:
            yield
        finally:
            hook.remove()


class PixArtSigma(PixArt):
    """A text-to-image transformer, PixArt-Sigma: prompts of up to 300 tokens."""

    pipeline_class = diffusers.PixArtSigmaPipeline
    t5_tokens = 300
