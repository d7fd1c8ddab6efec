"""DiscriminativeClassifier: a network that gives logits, measured as diffusion classifiers are."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from diffclf_lightning.baselines.logits import LogitClassifier, Preprocessing
from diffclf_lightning.candidates import Candidates, model_classes
from diffclf_lightning.errors import InputError
from diffclf_lightning.optimization import make_optimizers, no_loss
from diffclf_lightning.tasks import Task

CLASSES = "network_classes"
"""Entry of a checkpoint."""


class DiscriminativeClassifier(LogitClassifier):
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
        super().__init__(network, preprocessing, name, task)
        if not 0 <= label_smoothing < 1:
            raise InputError(
                f"Expected argument `label_smoothing` in [0, 1), but got {label_smoothing}."
            )
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.label_smoothing = label_smoothing
        self.network_classes, self.classes_by_position = network_classes, classes_by_position

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape ``(images, classes)``.

        Args:
            images: uint8 or floating point in [0, 1], shape ``(images, *shape)``.
        """
        logits: Tensor = self.network(self.normalised(images))
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

    def prepare(self, candidates: Candidates) -> tuple[Candidates, int]:
        if not all(isinstance(condition, int) for condition in candidates.conditions):
            raise InputError(
                f"Expected class numbers for {self.name}, which has a logit a class, but got "
                f"{candidates.names[0]!r}. Captions ask for a model that reads text."
            )
        return candidates, 1

    def logits(self, images: Tensor, prepared: Candidates) -> Tensor:
        logits: Tensor = self(images).float()[:, list(prepared.conditions)]
        return logits

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
