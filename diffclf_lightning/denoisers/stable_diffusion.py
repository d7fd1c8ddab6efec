"""Stable Diffusion: a U-Net that is told what to draw by a text encoder.

1.x, 2.x and what has their form: ``unet``, ``text_encoder``, ``tokenizer``, ``scheduler`` and, but
for models of pixels, ``vae`` (Rombach et al. 2022).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor, nn

from diffclf_lightning.candidates import Condition
from diffclf_lightning.denoisers.base import Denoiser, Transform
from diffclf_lightning.denoisers.pipeline import save_pipeline
from diffclf_lightning.denoisers.schedule import Schedule
from diffclf_lightning.denoisers.transforms import CenterCrop
from diffclf_lightning.errors import InputError

PROMPTS_PER_BATCH = 64


class StableDiffusion(Denoiser):
    """A text-to-image U-Net.

    Args:
        unet: ``UNet2DConditionModel``.
        scheduler: The scheduler that it was trained with.
        text_encoder: ``CLIPTextModel``.
        tokenizer: Its tokenizer.
        vae: ``AutoencoderKL``; none for a model of pixels.
        image_size: Side of the images, a multiple of the autoencoder's factor; the size that the
            U-Net was trained with when not given.
        train_text_encoder: Whether ``fit`` trains the text encoder too.

    Raises:
        InputError: If the parts do not fit together.
    """

    options = frozenset({"image_size", "lora"})

    unet: Any
    text_encoder: Any
    tokenizer: Any

    def __init__(
        self,
        unet: nn.Module,
        scheduler: SchedulerMixin,
        text_encoder: nn.Module,
        tokenizer: Any,
        vae: nn.Module | None = None,
        image_size: int | None = None,
        train_text_encoder: bool = False,
    ) -> None:
        super().__init__(Schedule(scheduler), vae)
        self.unet, self.text_encoder, self.tokenizer = unet, text_encoder, tokenizer
        text_encoder.requires_grad_(train_text_encoder)
        factor = self.vae_factor
        self.size = self.unet.config.sample_size if image_size is None else image_size // factor
        if image_size is not None and image_size % factor:
            raise InputError(
                f"Expected argument `image_size` as a multiple of {factor}, but got {image_size}."
            )
        if vae is not None and self.vae.config.latent_channels != self.unet.config.in_channels:
            raise InputError(
                f"Expected a U-Net of {self.vae.config.latent_channels} channels, as the latents "
                f"have, but got {self.unet.config.in_channels}. Inpainting and editing models are "
                "not supported."
            )
        if self.text_encoder.config.hidden_size != self.unet.config.cross_attention_dim:
            raise InputError(
                f"Expected a text encoder of width {self.unet.config.cross_attention_dim}, but got "
                f"{self.text_encoder.config.hidden_size}. Take the pipeline's own."
            )

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        index: Mapping[str, Any] | None = None,
        torch_dtype: torch.dtype = torch.float32,
        image_size: int | None = None,
        lora: str | None = None,
        **kwargs: Any,
    ) -> "StableDiffusion":
        """Load a pipeline from a folder or the hub.

        Args:
            path: Pipeline folder or hub id.
            index: Content of its ``model_index.json``, where it is already at hand.
            torch_dtype: Type of the weights.
            image_size: Side of the images, a multiple of 8 for the published models.
            lora: LoRA weights (file, folder or hub id), loaded by diffusers and fused.
            **kwargs: Passed to diffusers and transformers: ``revision``, ``variant``...

        Returns:
            The denoiser.

        Raises:
            InputError: If the pipeline has a second text encoder.
        """
        index = index or diffusers.DiffusionPipeline.load_config(str(path), **kwargs)
        if index.get("text_encoder_2", (None, None))[0] is not None:
            raise InputError(
                f"Expected a pipeline with one text encoder, but {str(path)!r} has two (SDXL). "
                "Take a model of the 1.x or 2.x family."
            )
        weights = {"torch_dtype": torch_dtype, **kwargs}
        hub = {name: value for name, value in kwargs.items() if name != "variant"}
        text_class = getattr(transformers, index["text_encoder"][1])
        tokenizer_class = getattr(transformers, index["tokenizer"][1])
        typed = {"dtype": torch_dtype, **kwargs}
        vae = None
        if index.get("vae", (None, None))[0] is not None:
            vae = diffusers.AutoencoderKL.from_pretrained(path, subfolder="vae", **weights)
        text_encoder, loading = text_class.from_pretrained(
            path, subfolder="text_encoder", output_loading_info=True, **typed
        )
        missing = sorted(name for name in loading["missing_keys"] if "position_ids" not in name)
        if missing:
            raise InputError(
                f"Expected the whole text encoder in {str(path)!r}, but {len(missing)} of its "
                f"weights are missing, {missing[0]!r} first. Fetch the folder again."
            )
        denoiser = cls(
            diffusers.UNet2DConditionModel.from_pretrained(path, subfolder="unet", **weights),
            Schedule.from_pretrained(path, index["scheduler"][1], **hub).scheduler,
            text_encoder,
            tokenizer_class.from_pretrained(path, subfolder="tokenizer", **hub),
            vae,
            image_size,
        )
        if lora is not None:
            denoiser.load_lora(lora)
        return denoiser.eval()

    def load_lora(self, path: str) -> None:
        """Load LoRA weights with diffusers' own loader, and fuse them.

        Args:
            path: File, folder or hub id.
        """
        pipeline = self._pipeline()
        pipeline.load_lora_weights(path)
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()

    def _pipeline(self) -> Any:
        return diffusers.StableDiffusionPipeline(
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=self.schedule.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """See :attr:`Denoiser.sample_shape`."""
        return self.unet.config.in_channels, self.size, self.size

    @property
    def transform(self) -> Transform:
        """Short side bicubic to the size, then the centre."""
        channels, size, _ = self.image_shape
        return CenterCrop(size, channels)

    @property
    def max_tokens(self) -> int:
        """Length of a prompt in tokens, begin and end included."""
        return int(self.text_encoder.config.max_position_embeddings)

    def condition(self, conditions: Sequence[Condition]) -> Tensor:
        """Text embeddings of prompts; the mean over the prompts of a tuple.

        Args:
            conditions: Prompts, or tuples of prompts.

        Returns:
            Last hidden states, shape ``(conditions, max_tokens, width)``.

        Raises:
            InputError: If a prompt is longer than the text encoder can read, or is no text.
        """
        groups = [_prompts(condition) for condition in conditions]
        ids = self._tokens([prompt for group in groups for prompt in group]).to(self.device)
        batches = [self.text_encoder(part)[0] for part in ids.split(PROMPTS_PER_BATCH)]
        embeddings = torch.cat(batches).split([len(group) for group in groups])
        return torch.stack([part.mean(dim=0) for part in embeddings])

    def _tokens(self, prompts: Sequence[str]) -> Tensor:
        long = self.tokenizer(list(prompts), truncation=False, padding=False)["input_ids"]
        for prompt, ids in zip(prompts, long, strict=True):
            if len(ids) > self.max_tokens:
                raise InputError(
                    f"Expected prompts of at most {self.max_tokens} tokens, but {prompt!r} has "
                    f"{len(ids)}. Shorten the template or the class name."
                )
        padded = self.tokenizer(
            list(prompts), padding="max_length", max_length=self.max_tokens, return_tensors="pt"
        )
        tokens: Tensor = padded["input_ids"]
        return tokens

    def null_conditioning(self, conditioning: Tensor) -> Tensor:
        """Embedding of the empty prompt, see :meth:`Denoiser.null_conditioning`."""
        return self.condition([""]).expand_as(conditioning)

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Tensor) -> Tensor:
        """See :meth:`Denoiser.forward`."""
        dtype = self.unet.dtype
        output: Tensor = self.unet(
            x_t.to(dtype), timestep, encoder_hidden_states=conditioning.to(dtype)
        ).sample
        return output

    def save_pretrained(self, folder: str | Path) -> None:
        """See :meth:`Denoiser.save_pretrained`."""
        parts = {
            "unet": self.unet,
            "text_encoder": self.text_encoder,
            "tokenizer": self.tokenizer,
            "scheduler": self.schedule.scheduler,
        }
        if self.vae is not None:
            parts["vae"] = self.vae
        save_pipeline(folder, "StableDiffusionPipeline", parts)


def _prompts(condition: Condition) -> tuple[str, ...]:
    if isinstance(condition, int):
        raise InputError(
            f"Expected prompts, but got {condition!r}. This model takes text, not class ids: give "
            "`template`, or `candidates` with prompts."
        )
    return (condition,) if isinstance(condition, str) else tuple(condition)
