"""Denoisers conditioned on text: what Stable Diffusion and PixArt have in common."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor, nn

from diffclf_lightning.candidates import Condition
from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.pipeline import PipelineDenoiser
from diffclf_lightning.denoisers.schedules import schedule_of
from diffclf_lightning.denoisers.unknown_words import say_unknown
from diffclf_lightning.errors import InputError

PROMPTS_PER_BATCH = 64


class TextConditionalDenoiser(PipelineDenoiser):
    """A network that is told the last hidden states of one text encoder.

    Args:
        network: The diffusers network. A subclass calls it as its pipeline does.
        scheduler: The scheduler that it was trained with.
        text_encoder: Its text encoder.
        tokenizer: Its tokenizer.
        vae: ``AutoencoderKL``, or None for a model of pixels.
        image_size: Side of the images, a multiple of the autoencoder's factor. Defaults to None:
            the size that the network was trained with.
        train_text_encoder: Whether ``fit`` trains the text encoder too.
        width: Width of the text that the network takes.

    Raises:
        InputError: If the parts do not fit each other.
    """

    options = frozenset({"image_size"})

    text_encoder: Any
    tokenizer: Any

    def __init__(
        self,
        network: nn.Module,
        scheduler: SchedulerMixin,
        text_encoder: nn.Module,
        tokenizer: Any,
        vae: nn.Module | None,
        image_size: int | None,
        train_text_encoder: bool,
        width: int,
    ) -> None:
        super().__init__(schedule_of(scheduler), vae)
        self.add_module(self.components[0], network)
        self.text_encoder, self.tokenizer = text_encoder, tokenizer
        text_encoder.requires_grad_(train_text_encoder)
        config, factor = self._config, self.vae_factor
        self.size = config.sample_size if image_size is None else image_size // factor
        if image_size is not None and image_size % factor:
            raise InputError(
                f"Expected argument `image_size` as a multiple of {factor}, but got {image_size}."
            )
        if vae is not None and self.vae.config.latent_channels != config.in_channels:
            raise InputError(
                f"Expected a network of {self.vae.config.latent_channels} channels, as the latents "
                f"have, but got {config.in_channels}. Inpainting and editing models are not "
                "supported."
            )
        if self.text_encoder.config.hidden_size != width:
            raise InputError(
                f"Expected a text encoder of width {width}, but got "
                f"{self.text_encoder.config.hidden_size}. Take the pipeline's own."
            )

    _said_unknown: bool = False
    """Whether a word that the tokenizer does not know was told of."""

    @property
    def network(self) -> nn.Module:
        network: nn.Module = getattr(self, self.components[0])
        return network

    @property
    def _config(self) -> Any:
        return self.network.config

    @property
    def chosen_options(self) -> dict[str, Any]:
        trained = any(weight.requires_grad for weight in self.text_encoder.parameters())
        return {"image_size": self.size * self.vae_factor, "train_text_encoder": trained}

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        return self._config.in_channels, self.size, self.size

    @property
    def max_tokens(self) -> int:
        """Length of a prompt in tokens, begin and end included."""
        return int(self.text_encoder.config.max_position_embeddings)

    def check(self, conditions: Sequence[Condition]) -> None:
        self.tokens([prompt for condition in conditions for prompt in _prompts(condition)])

    def condition(self, conditions: Sequence[Condition]) -> Conditioning:
        """Text embeddings of prompts; the mean over the prompts of a tuple.

        They are last hidden states, ``encoder_hidden_states`` of shape
        ``(conditions, max_tokens, width)``.

        Raises:
            InputError: If a prompt is longer than the text encoder can read, or is no text.
        """
        groups = [_prompts(condition) for condition in conditions]
        tokens = self.tokens([prompt for group in groups for prompt in group])
        # All prompts together may be gigabytes: the device gets them when it is known to have room.
        home = self.device if self.training else torch.device("cpu")
        with self.speaking(self.text_encoder):
            parts = [
                self._told({name: part.to(self.device) for name, part in some.items()}).to(home)
                for some in _parts(tokens)
            ]
        told = Conditioning.cat(parts)
        return told.mean([len(group) for group in groups]).where_it_fits(self.device)

    def _told(self, tokens: Mapping[str, Tensor]) -> Conditioning:
        """What the network is told of some tokens, of shape ``(prompts, max_tokens)`` each."""
        states = self.text_encoder(tokens["input_ids"])[0]
        return Conditioning({"encoder_hidden_states": states})

    def tokens(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """What the tokenizer makes of prompts, padded to :attr:`max_tokens`.

        Args:
            prompts: The prompts.

        Returns:
            ``input_ids`` and ``attention_mask``, int64, each of shape ``(prompts, max_tokens)``.

        Raises:
            InputError: If a prompt is longer.
        """
        longest = self.max_tokens
        tokens = self.tokenizer(
            list(prompts),
            truncation=False,
            padding="max_length",
            max_length=longest,
            return_attention_mask=True,
        )
        for prompt, ids in zip(prompts, tokens["input_ids"], strict=True):
            if len(ids) > longest:
                raise InputError(
                    f"Expected prompts of at most {longest} tokens, but {prompt!r} has "
                    f"{len(ids)}. Shorten the template or the class name."
                )
        made = {name: torch.tensor(tokens[name]) for name in ("input_ids", "attention_mask")}
        if not self._said_unknown:
            self._said_unknown = say_unknown(self.tokenizer, prompts, made["input_ids"])
        return made

    def unconditional(self) -> Conditioning:
        """Embedding of the empty prompt."""
        return self.condition([""])


def _parts(tokens: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    split = {name: tensor.split(PROMPTS_PER_BATCH) for name, tensor in tokens.items()}
    return [dict(zip(split, part, strict=True)) for part in zip(*split.values(), strict=True)]


def _prompts(condition: Condition) -> tuple[str, ...]:
    if isinstance(condition, int):
        raise InputError(
            f"Expected prompts, but got {condition!r}. This model takes text, not class ids: give "
            "`template`, or `candidates` with prompts."
        )
    return (condition,) if isinstance(condition, str) else tuple(condition)
