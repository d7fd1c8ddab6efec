"""LogitClassifier: a network that answers an image by one pass, with a logit a candidate."""

import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from diffclf_lightning.answers import Answer
from diffclf_lightning.errors import InputError
from diffclf_lightning.image_classifier import ImageClassifier
from diffclf_lightning.images import MODES, as_shown, unit_range
from diffclf_lightning.tasks import Task
from diffclf_lightning.weights import checksum, layers


@dataclass(frozen=True)
class Preprocessing:
    """From a PIL image to what a network takes.

    Args:
        resize: Resizes and crops a PIL image to the network's size; gives uint8.
        shape: Channels, height and width.
        mean: Mean of each channel, in [0, 1].
        std: Standard deviation of each channel.

    Raises:
        InputError: If the network takes neither grey images nor RGB.
    """

    resize: Callable[[Image], Tensor]
    shape: tuple[int, int, int]
    mean: Sequence[float]
    std: Sequence[float]

    def __post_init__(self) -> None:
        if self.shape[0] not in MODES:
            raise InputError(
                f"Expected argument `in_chans` to be 1 (grey) or 3 (RGB), but got {self.shape[0]}."
            )

    def __call__(self, image: Image) -> Tensor:
        """Pixels of one image, uint8, shape ``(channels, height, width)``."""
        return self.resize(as_shown(image).convert(MODES[self.shape[0]]))


class LogitClassifier(ImageClassifier):
    """Base of the classifiers that give a logit a candidate in one pass of a network.

    A candidate's score is minus its logit: lower is better. A set that covers a part of the
    candidates restricts the logits before the maximum is taken; of several candidates of one label
    the largest logit counts.

    Args:
        network: The network.
        preprocessing: The network's own.
        name: What the network is called in results.
        task: What sets ask. Defaults to None: one label an image.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        name: str,
        task: Task | None = None,
    ) -> None:
        super().__init__(task)
        self.network, self.preprocessing, self.name = network, preprocessing, name

    @property
    def transform(self) -> Callable[[Image], Tensor]:
        """From a PIL image to the pixels that the network takes, uint8."""
        return self.preprocessing

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.preprocessing.shape

    def normalised(self, images: Tensor) -> Tensor:
        """Images as the network takes them, in the type of its weights.

        Args:
            images: uint8 or floating point in [0, 1], shape ``(images, *shape)``.
        """
        pixels = unit_range(images, self.preprocessing.shape)
        # Not buffers, which half precisions would round.
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=pixels.device).reshape(-1, 1, 1)
            for values in (self.preprocessing.mean, self.preprocessing.std)
        )
        return ((pixels - mean) / std).to(next(self.network.parameters()).dtype)

    @abstractmethod
    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        """Logits of the candidates, float32, shape ``(images, candidates)``.

        Args:
            images: uint8 or floating point in [0, 1], shape ``(images, *shape)``.
            prepared: From ``prepare``, with the ``labels`` of the candidates.
        """

    def describe_network(self) -> dict[str, Any]:
        """What decides the logits, as plain values."""
        return {
            "model": self.name,
            "weights": checksum(self.network),
            "layers": layers(self.network),
            "sample_shape": list(self.preprocessing.shape),
            "mean": list(self.preprocessing.mean),
            "std": list(self.preprocessing.std),
            "resize": re.sub(r" at 0x\w+|\s+", " ", str(self.preprocessing.resize)),
        }

    def describe(self) -> dict[str, Any]:
        candidates = None if self.task.brings_candidates else self.all_candidates
        return {
            **self.describe_network(),
            "candidates": None if candidates is None else list(candidates.conditions),
            "labels": None if candidates is None else list(candidates.labels),
            "scores": ["logit"],
            **super().describe(),
        }

    @torch.no_grad()
    def answer(self, images: Tensor, prepared: Any, allowed: Tensor | None = None) -> Answer:
        logits = self.logits(images, prepared)
        if not logits.isfinite().all():
            row = int((~logits.isfinite()).any(dim=1).nonzero()[0])
            raise InputError(
                f"Expected finite logits, but {self.name} gave NaN or infinity for image {row} of "
                "the batch. Check the weights and the precision (float16 overflows where bfloat16 "
                "does not)."
            )
        if allowed is not None:
            logits = logits.masked_fill(~allowed.to(logits.device), -torch.inf)
        if self.on_evaluations is not None:
            self.on_evaluations(len(images))
        return Answer(
            torch.as_tensor(prepared.labels, device=logits.device),
            {"logit": -logits},
            torch.full_like(logits, torch.nan),
            torch.ones_like(logits, dtype=torch.int64),
            torch.ones(len(images), dtype=torch.int64, device=logits.device),
        )
