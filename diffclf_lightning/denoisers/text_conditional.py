"""Denoisers conditioned on text: what all families that are told prompts have in common."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import torch
from accelerate import cpu_offload
from accelerate.hooks import remove_hook_from_module
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor, nn
from transformers import PreTrainedModel

from diffclf_lightning.candidates import Condition
from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.pipeline import PipelineDenoiser
from diffclf_lightning.denoisers.prompt_lengths import PromptLengths
from diffclf_lightning.denoisers.schedules import Schedule, schedule_of
from diffclf_lightning.denoisers.unknown_words import say_unknown
from diffclf_lightning.devices import Offload
from diffclf_lightning.errors import InputError


class TextConditionalDenoiser(PipelineDenoiser):
    """A network that text encoders tell what to draw.

    A family names its pipeline and components, the network first, and says what the network is told
    of prompts (:meth:`told`) and how it is called (:meth:`Denoiser.forward`).

    Args:
        image_size: Side of the images, a multiple of :attr:`size_multiple`. Defaults to None: the
            size that the network was trained with.
        train_text_encoder: Whether ``fit`` trains the text encoders too.
        **components: Components of the pipeline by name: the network, ``scheduler``, ``vae``,
            ``text_encoder`` and ``tokenizer``, ``text_encoder_2`` and ``tokenizer_2``, ...

    Raises:
        InputError: If the parts do not fit each other.
    """

    options = frozenset({"image_size", "text_encoder_offload"})
    text_encoder_offload: Offload | None = None
    """How text encoders are kept on the CPU but while they speak, or None."""
    default_size: ClassVar[int] = 128
    """Side of the samples, where the network's configuration does not say it."""
    max_tokens: ClassVar[Mapping[str, int]] = {}
    """Length of a prompt in tokens for tokenizers that have no limit of their own, by name."""
    text_encoder: Any
    tokenizer: Any
    prompts_at_once: ClassVar[int] = 64
    """Number of prompts that are encoded together, 1 where they are padded to the longest."""

    def __init__(
        self,
        *,
        image_size: int | None = None,
        train_text_encoder: bool = False,
        **components: Any,
    ) -> None:
        vae = components.pop("vae", None)
        super().__init__(self.schedule_of(components.pop("scheduler")), vae)
        for name, component in components.items():
            setattr(self, name, component)
        for encoder in self.text_encoders.values():
            encoder.requires_grad_(train_text_encoder)
        self.size = self._size_of(image_size)
        if vae is not None and self.latent_space.channels != self.sample_shape[0]:
            raise InputError(
                f"Expected a network of {self.latent_space.channels} channels, as the latents "
                f"have, but got {self.sample_shape[0]}. Inpainting and editing models are not "
                "supported."
            )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.options |= TextConditionalDenoiser.options

    @classmethod
    def from_components(
        cls,
        components: Mapping[str, Any],
        text_encoder_offload: Offload | None = None,
        **options: Any,
    ) -> Self:
        denoiser = super().from_components(components, **options)
        denoiser.text_encoder_offload = text_encoder_offload
        return denoiser

    @property
    def unmoved(self) -> frozenset[str]:
        kept = self.text_encoders if self.text_encoder_offload else ()
        return super().unmoved.union(kept)

    @contextmanager
    def speaking(self, *encoders: nn.Module) -> Iterator[None]:
        if self.text_encoder_offload != "sequential":
            with super().speaking(*encoders):
                yield
            return
        for encoder in encoders:
            cpu_offload(encoder, self.device)
        try:
            yield
        finally:
            for encoder in encoders:
                remove_hook_from_module(encoder, recurse=True)
                if isinstance(encoder, PreTrainedModel):  # each layer got weights of its own
                    encoder.tie_weights()

    def _size_of(self, image_size: int | None) -> int:
        if image_size is None:
            return int(self.config.get("sample_size") or self.default_size)
        if image_size < 1 or image_size % self.size_multiple:
            raise InputError(
                f"Expected argument `image_size` as a multiple of {self.size_multiple}, but got "
                f"{image_size}."
            )
        if self.patches_at_most and image_size > self.patches_at_most * self.size_multiple:
            raise InputError(
                "Expected argument `image_size` to be at most "
                f"{self.patches_at_most * self.size_multiple}, for which the network has places, "
                f"but got {image_size}."
            )
        return image_size // self.vae_factor

    @staticmethod
    def schedule_of(scheduler: SchedulerMixin) -> Schedule:
        """The schedule of the family, by the scheduler of its pipeline."""
        return schedule_of(scheduler)

    @property
    def network(self) -> nn.Module:
        network: nn.Module = getattr(self, self.components[0])
        return network

    @property
    def config(self) -> Any:
        """Configuration of the network."""
        return self.network.config

    @property
    def text_encoders(self) -> dict[str, Any]:
        """The text encoders that there are, by name."""
        return self._parts("text_encoder")

    @property
    def tokenizers(self) -> dict[str, Any]:
        """The tokenizers that there are, by name."""
        return self._parts("tokenizer")

    def _parts(self, begin: str) -> dict[str, Any]:
        names = [name.rstrip("?") for name in self.components if name.startswith(begin)]
        found = {name: getattr(self, name, None) for name in names}
        return {name: part for name, part in found.items() if part is not None}

    @property
    def size_multiple(self) -> int:
        """What the side of an image is a multiple of, in pixels."""
        return self.vae_factor * int(self.config.get("patch_size") or 1)

    @property
    def patches_at_most(self) -> int | None:
        """Patches along a side for which the network has places, or None for any number."""
        return None

    @property
    def chosen_options(self) -> dict[str, Any]:
        encoders = self.text_encoders.values()
        trained = any(weight.requires_grad for each in encoders for weight in each.parameters())
        return {"image_size": self.size * self.vae_factor, "train_text_encoder": trained}

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        return self.config.in_channels, self.size, self.size

    def train(self, mode: bool = True) -> Self:
        """Set the mode of what is trained: frozen text encoders stay as they are in use."""
        super().train(mode)
        for encoder in self.text_encoders.values():
            if not any(weight.requires_grad for weight in encoder.parameters()):
                encoder.eval()
        return self

    @property
    def token_limits(self) -> dict[str, int]:
        """Length of a prompt in tokens, begin and end included, by the name of the tokenizer."""
        return {
            name: self.max_tokens.get(name, tokenizer.model_max_length)
            for name, tokenizer in self.tokenizers.items()
        }

    def spoken(self, prompts: Sequence[str]) -> list[str]:
        """Prompts as the tokenizers read them."""
        return list(prompts)

    def check(self, conditions: Sequence[Condition]) -> None:
        self._check([prompt for condition in conditions for prompt in _prompts(condition)])

    def _check(self, prompts: Sequence[str]) -> None:
        lengths = PromptLengths(self.tokenizers, self.token_limits, prompts, self.spoken(prompts))
        lengths.check()
        if not self._said:
            self._said = lengths.say_cut() | say_unknown(self.tokenizers, lengths.tokens, prompts)

    _said: bool = False
    """Whether it was told of prompts that are not read as they are written."""

    def condition(self, conditions: Sequence[Condition]) -> Conditioning:
        """What the network is told of prompts; the mean over the prompts of a tuple.

        Raises:
            InputError: If a prompt is longer than the text encoders can read, or is no text.
        """
        groups = [_prompts(condition) for condition in conditions]
        prompts = [prompt for group in groups for prompt in group]
        self._check(prompts)
        told = self._told_in_parts(prompts)
        return told.mean([len(group) for group in groups]).where_it_fits(self.device)

    def _told_in_parts(self, prompts: Sequence[str]) -> Conditioning:
        # All prompts together may be gigabytes: the device gets them when it is known to have room.
        home = self.device if self.training else torch.device("cpu")
        step = self.prompts_at_once
        with self.speaking(*self.text_encoders.values()):
            parts = [
                self.told(prompts[start : start + step]).to(home)
                for start in range(0, len(prompts), step)
            ]
        return Conditioning.cat(parts)

    def unconditional(self) -> Conditioning:
        """What the network is told where nothing is said, one row."""
        with self.speaking(*self.text_encoders.values()):
            return self.told_nothing().where_it_fits(self.device)

    @abstractmethod
    def told(self, prompts: Sequence[str]) -> Conditioning:
        """What the network is told of some prompts, one row each; text encoders are in place."""

    def told_nothing(self) -> Conditioning:
        """What the network is told for "nothing said", one row: the empty prompt."""
        return self.told([""])

    def encode_prompt(self, prompts: Sequence[str], **options: Any) -> Any:
        """What diffusers' pipeline of the family makes of prompts.

        Args:
            prompts: The prompts.
            **options: Further arguments of the pipeline's ``encode_prompt``.
        """
        pipeline = self._pipeline(requires_safety_checker=False)  # each would warn that it has none
        return pipeline.encode_prompt(list(prompts), device=self.device, **options)

    def tokens(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """What the tokenizer of a model with one text encoder makes of prompts.

        Args:
            prompts: The prompts.

        Returns:
            ``input_ids`` and ``attention_mask``, int64, padded to the limit, each of shape
            ``(prompts, limit)``, on the device.
        """
        ((name, tokenizer),) = self.tokenizers.items()
        tokens = tokenizer(
            self.spoken(prompts),
            padding="max_length",
            max_length=self.token_limits[name],
            return_attention_mask=True,
            return_tensors="pt",
        )
        return {part: tokens[part].to(self.device) for part in ("input_ids", "attention_mask")}


def floating(conditioning: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Tensors as a network takes them: numbers with a fraction in its type."""
    return {
        keyword: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for keyword, tensor in conditioning.items()
    }


def check_width(encoder: Any, width: int) -> None:
    """Refuse a text encoder of another width than the network takes.

    Args:
        encoder: The text encoder.
        width: The width that is needed.

    Raises:
        InputError: If it has another.
    """
    if encoder.config.hidden_size != width:
        raise InputError(
            f"Expected a text encoder of width {width}, but got {encoder.config.hidden_size}. Take "
            "the pipeline's own."
        )


def _prompts(condition: Condition) -> tuple[str, ...]:
    if isinstance(condition, int):
        raise InputError(
            f"Expected prompts, but got {condition!r}. This model takes text, not class ids: give "
            "`template`, or `candidates` with prompts."
        )
    return (condition,) if isinstance(condition, str) else tuple(condition)
