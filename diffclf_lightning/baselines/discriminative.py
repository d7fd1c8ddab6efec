"""DiscriminativeClassifier: a network that gives logits, measured as diffusion classifiers are."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from PIL.Image import Image
from torch import Tensor, nn

from diffclf_lightning.answers import Answer
from diffclf_lightning.candidates import Candidates, model_classes
from diffclf_lightning.errors import InputError
from diffclf_lightning.image_classifier import ImageClassifier
from diffclf_lightning.images import MODES, as_shown, unit_range
from diffclf_lightning.optimization import make_optimizers, no_loss
from diffclf_lightning.tasks import Task
from diffclf_lightning.weights import checksum

CLASSES = "network_classes"
"""Entry of a checkpoint."""


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


class DiscriminativeClassifier(ImageClassifier):
    """A network that gives a logit a class, on the sets and with the metrics of all classifiers.

    Takes batches of ``(image, label)`` as :class:`DiffusionClassifier` does. A set that covers a
    part of the classes restricts the logits before the maximum is taken; of several classes that
    make one label the largest logit counts. A label's score is minus its logit: lower is better.

    Args:
        network: Takes normalised images, gives logits of shape ``(images, classes)``.
        preprocessing: The network's own.
        name: What the network is called in results.
        optimizer: Makes the optimizer from the parameters. Defaults to None: AdamW with learning
            rate 1e-3, and no scheduler.
        lr_scheduler: Makes the learning-rate scheduler from the optimizer; stepped every step.
        label_smoothing: Share of the target that is spread over all classes in training.
        network_classes: Names of the network's classes in the order of its logits. Defaults to
            None: those of the data that it is trained on.
        classes_by_position: Whether label ``i`` of the data is class ``i`` of the network whatever
            their names. Defaults to False: classes are matched by name.
        task: What sets ask. Defaults to None: one label an image.

    Raises:
        InputError: If ``label_smoothing`` is out of range.
    """

    untrained: bool = False
    """Whether nothing gave the network weights."""

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        name: str,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
        label_smoothing: float = 0.0,
        network_classes: Sequence[str] | None = None,
        classes_by_position: bool = False,
        task: Task | None = None,
    ) -> None:
        super().__init__(task)
        if not 0 <= label_smoothing < 1:
            raise InputError(
                f"Expected argument `label_smoothing` in [0, 1), but got {label_smoothing}."
            )
        self.network, self.preprocessing, self.name = network, preprocessing, name
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.label_smoothing = label_smoothing
        self.network_classes, self.classes_by_position = network_classes, classes_by_position

    @property
    def transform(self) -> Callable[[Image], Tensor]:
        """From a PIL image to the pixels that the network takes, uint8."""
        return self.preprocessing

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.preprocessing.shape

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape ``(images, classes)``.

        Args:
            images: uint8 or floating point in [0, 1], shape ``(images, *shape)``.
        """
        pixels = unit_range(images, self.preprocessing.shape)
        # Not buffers, which half precisions would round.
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=pixels.device).reshape(-1, 1, 1)
            for values in (self.preprocessing.mean, self.preprocessing.std)
        )
        normalised = (pixels - mean) / std
        dtype = next(self.network.parameters()).dtype
        logits: Tensor = self.network(normalised.to(dtype))
        return logits

    def setup(self, stage: str) -> None:
        names = getattr(getattr(self.trainer, "datamodule", None), "classnames", None)
        if stage == "fit" and self.network_classes is None and names is not None:
            self.network_classes = list(names)
        super().setup(stage)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say which class each logit is."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[CLASSES] = self.network_classes

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Learn which class each logit is, and choose among these."""
        super().on_load_checkpoint(checkpoint)
        self.network_classes = checkpoint.get(CLASSES) or self.network_classes
        if self._trainer is not None:
            self.setup(str(self.trainer.state.fn))

    def candidates_of(self, names: Sequence[str] | None) -> Candidates:
        self.num_labels = self._count_classes()
        return model_classes(names, self.num_labels, self.network_classes, self.classes_by_position)

    def names_of(self, candidates: Candidates) -> Sequence[str] | None:
        return self.network_classes

    def _count_classes(self) -> int:
        """Number of logits, found by one pass over a black image."""
        training = self.network.training
        self.network.eval()
        with torch.no_grad():
            black = torch.zeros(1, *self.preprocessing.shape, dtype=torch.uint8, device=self.device)
            try:
                count = self(black).shape[1]
            except (RuntimeError, AssertionError, ValueError) as error:
                raise InputError(
                    f"Expected {self.name} to take images of shape {self.preprocessing.shape}, but "
                    f"got {type(error).__name__}: {error}. Make `input_size` and `in_chans` those "
                    "of the network (`img_size` in `model_args`)."
                ) from error
        self.network.train(training)
        return int(count)

    def describe_network(self) -> dict[str, Any]:
        """What decides the logits, as plain values."""
        return {
            "model": self.name,
            "weights": checksum(self.network),
            "sample_shape": list(self.preprocessing.shape),
            "mean": list(self.preprocessing.mean),
            "std": list(self.preprocessing.std),
            "resize": re.sub(r" at 0x\w+|\s+", " ", str(self.preprocessing.resize)),
        }

    def describe(self) -> dict[str, Any]:
        return {
            **self.describe_network(),
            "candidates": list(self.all_candidates.conditions),
            "labels": list(self.all_candidates.labels),
            "scores": ["logit"],
            **super().describe(),
        }

    def prepare(self, candidates: Candidates) -> tuple[Candidates, int]:
        return candidates, 1

    @torch.no_grad()
    def answer(self, images: Tensor, prepared: Candidates, allowed: Tensor | None = None) -> Answer:
        logits = self(images).float()[:, list(prepared.conditions)]
        if not logits.isfinite().all():
            row = int((~logits.isfinite()).any(dim=1).nonzero()[0])
            raise InputError(
                f"Expected finite logits, but {self.name} gave NaN or infinity for image {row} of "
                "the batch. Check the weights and the precision (float16 overflows where bfloat16 "
                "does not)."
            )
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -torch.inf)
        if self.on_evaluations is not None:
            self.on_evaluations(len(images))
        return Answer(
            torch.tensor(prepared.labels, device=logits.device),
            {"logit": -logits},
            torch.full_like(logits, torch.nan),
            torch.ones_like(logits, dtype=torch.int64),
            torch.ones(len(images), dtype=torch.int64, device=logits.device),
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Cross-entropy."""
        sample = self.training_batch(batch)
        if not len(sample["image"]):
            return no_loss(self)
        logits = self(sample["image"])[:, list(self.all_candidates.conditions)]
        labels = sample["label"].long()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        return make_optimizers(self, self.optimizer, self.lr_scheduler, lr=1e-3)
