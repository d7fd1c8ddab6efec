"""DiscriminativeClassifier: a network that gives logits, measured as diffusion classifiers are."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from PIL.Image import Image
from torch import Tensor, nn

from diffclf_lightning.candidates import merged_labels
from diffclf_lightning.errors import InputError
from diffclf_lightning.image_classifier import ImageClassifier, image_and_label
from diffclf_lightning.images import MODES, unit_range
from diffclf_lightning.optimization import make_optimizers
from diffclf_lightning.predictions import Outcome
from diffclf_lightning.weights import checksum


@dataclass(frozen=True)
class Classes:
    """The classes among which a set chooses.

    Args:
        ids: Columns of the logits, shape ``(ids,)``.
        labels: Label of each, shape ``(ids,)``.
    """

    ids: Tensor
    labels: Tensor


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
        return self.resize(image.convert(MODES[self.shape[0]]))


class DiscriminativeClassifier(ImageClassifier):
    """A network that gives a logit a class, on the sets and with the metrics of all classifiers.

    Takes batches of ``(image, label)`` as :class:`DiffusionClassifier` does. A set that covers a
    part of the classes restricts the logits before the maximum is taken; of several classes that
    make one label the largest logit counts. A label's score is minus its logit: lower is better.

    Args:
        network: Takes normalised images, gives logits of shape ``(images, classes)``.
        preprocessing: The network's own.
        name: What the network is called in results.
        optimizer: Makes the optimizer from the parameters; AdamW with learning rate 1e-3, and no
            scheduler, when not given.
        lr_scheduler: Makes the learning-rate scheduler from the optimizer; stepped every step.
        label_smoothing: Share of the target that is spread over all classes in training.

    Raises:
        InputError: If ``label_smoothing`` is out of range.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        name: str,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise InputError(
                f"Expected argument `label_smoothing` in [0, 1), but got {label_smoothing}."
            )
        self.network, self.preprocessing, self.name = network, preprocessing, name
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.label_smoothing = label_smoothing

    @property
    def transform(self) -> Callable[[Image], Tensor]:
        """From a PIL image to the pixels that the network takes, uint8."""
        return self.preprocessing

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images.

        Args:
            images: uint8 or floating point in [0, 1], shape ``(images, *shape)``.

        Returns:
            Logits, shape ``(images, classes)``.
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
        """Count the classes, and give the data module the network's transform."""
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        if hasattr(datamodule, "use_transform_of_model"):
            datamodule.use_transform_of_model(self.transform)
        self.num_labels = self._count_classes()
        names = getattr(datamodule, "classnames", None)
        if names is not None and len(names) != self.num_labels:
            raise InputError(
                f"Expected a network of {len(names)} classes, one for each label of the data, but "
                f"{self.name} gives {self.num_labels}. Take a network that was trained on these "
                "classes, or a data module with its labels (ImageNetShifts for ObjectNet)."
            )

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

    def describe(self) -> dict[str, Any]:
        """See :meth:`ImageClassifier.describe`."""
        return {
            "classifier": type(self).__name__,
            "model": self.name,
            "weights": checksum(self.network),
            "labels": list(range(self.num_labels)),
            "sample_shape": list(self.preprocessing.shape),
            "mean": list(self.preprocessing.mean),
            "std": list(self.preprocessing.std),
            "resize": re.sub(r" at 0x\w+|\s+", " ", str(self.preprocessing.resize)),
        }

    def prepare(self, classes: Sequence[int | Sequence[int]] | None) -> tuple[Classes, int]:
        """See :meth:`ImageClassifier.prepare`."""
        merged: Mapping[int, int] = merged_labels(range(self.num_labels))
        if classes is not None:
            merged = merged_labels(classes)
        outside = [i for i in merged if not 0 <= i < self.num_labels]
        if outside:
            raise InputError(
                f"Expected the labels of the set to be among the {self.num_labels} classes of "
                f"{self.name}, but got {outside[0]}."
            )
        ids = torch.tensor(list(merged), device=self.device)
        return Classes(ids, torch.tensor(list(merged.values()), device=self.device)), 1

    @torch.no_grad()
    def classify(self, images: Tensor, task: Classes) -> Outcome:
        """See :meth:`ImageClassifier.classify`."""
        logits = self(images).float()[:, task.ids]
        if not logits.isfinite().all():
            row = int((~logits.isfinite()).any(dim=1).nonzero()[0])
            raise InputError(
                f"Expected finite logits, but {self.name} gave NaN or infinity for image {row} of "
                "the batch. Check the weights and the precision (float16 overflows where bfloat16 "
                "does not)."
            )
        best = logits.new_full((len(images), self.num_labels), -torch.inf)
        best.scatter_reduce_(1, task.labels.expand_as(logits), logits, "amax")
        counts = torch.zeros_like(best, dtype=torch.int64)
        counts[:, task.labels] = 1
        if self.on_evaluations is not None:
            self.on_evaluations(len(images))
        return Outcome(
            predictions=best.argmax(dim=1),
            scores=-best,
            probabilities=best.softmax(dim=1),
            standard_errors=torch.full_like(best, torch.nan),
            counts=counts,
            evaluations=torch.ones(len(images), dtype=torch.int64, device=best.device),
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Cross-entropy."""
        images, labels = self.readable(batch, "train")
        loss = F.cross_entropy(self(images), labels, label_smoothing=self.label_smoothing)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def on_validation_start(self) -> None:
        """Prepare the sets."""
        self.begin(self.trainer.val_dataloaders, "validation")

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a batch."""
        images, labels = image_and_label(batch)
        self.step(images, labels, self.sets[dataloader_idx])

    def on_validation_epoch_end(self) -> None:
        """Log the accuracy."""
        self.report()

    def configure_optimizers(self) -> Any:
        """Optimizer of the trainable parameters, and the scheduler, stepped every step."""
        return make_optimizers(self, self.optimizer, self.lr_scheduler, lr=1e-3)
