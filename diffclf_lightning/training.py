"""DenoiserTraining: a denoiser trained or fine-tuned on labelled images."""

import random
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from diffclf_lightning.candidates import Candidates, Condition
from diffclf_lightning.classifier import DiffusionClassifier
from diffclf_lightning.denoisers import Denoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import Noised, Strategy
from diffclf_lightning.optimization import make_optimizers, no_loss
from diffclf_lightning.prompts import Prompts


class DenoiserTraining(DiffusionClassifier):
    """Trains a denoiser with the denoising loss, and validates it as a classifier.

    The loss is the mean squared error of the network's own target (noise, v, flow). A checkpoint
    of it is one of a :class:`DiffusionClassifier`.

    Args:
        denoiser: The diffusion model.
        candidates: Conditions of each label, or prompts that make them from the class names; where
            several stand for one label, one is drawn at each step. Defaults to None: ``template``,
            or the classes of a class-conditional model.
        template: Prompt template with ``{}`` for the class name, or several.
        classnames: Class names in the order of labels. Defaults to None: the data module's.
        label_dropout: Share of training labels replaced by "nothing said".
        validation_strategy: Trials of each candidate in validation. Defaults to None: 8 for all.
        optimizer: Makes the optimizer from the parameters. Defaults to None: AdamW with learning
            rate 1e-4, and no scheduler.
        lr_scheduler: Makes the learning-rate scheduler from the optimizer; stepped every step.

    Raises:
        InputError: If the arguments contradict each other.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        candidates: Candidates | Prompts | None = None,
        template: str | list[str] | None = None,
        classnames: list[str] | None = None,
        label_dropout: float = 0.1,
        validation_strategy: Strategy | None = None,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            denoiser,
            candidates=candidates,
            template=template,
            classnames=classnames,
            validation_strategy=validation_strategy,
        )
        if not 0 <= label_dropout < 1:
            raise InputError(
                f"Expected argument `label_dropout` in [0, 1), but got {label_dropout}."
            )
        self.label_dropout = label_dropout
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Denoising loss of a batch; times are stratified over it, a share of labels is dropped."""
        sample = self.training_batch(batch)
        if not len(sample["image"]):
            return no_loss(self)
        x_0 = self.denoiser.encode(sample["image"])
        size = len(x_0)
        times = (torch.randperm(size) + torch.rand(size, dtype=torch.float64)) / size
        noised = Noised(x_0, torch.randn_like(x_0), self.denoiser.at(times).to(x_0.device))
        conditioning = self.denoiser.condition(self._conditions(sample["label"].tolist()))
        if self.label_dropout:
            drop = torch.rand(size) < self.label_dropout
            nothing = self.denoiser.unconditional()
            conditioning = conditioning.replaced(drop.to(x_0.device), nothing)
        output = self.denoiser(noised.x_t, noised.at.timestep, conditioning)
        loss = F.mse_loss(output.float(), self.denoiser.schedule.target.of(noised))
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def _conditions(self, labels: Sequence[int]) -> list[Condition]:
        """A condition of each label, drawn where several stand for one."""
        of_label: dict[int, list[Condition]] = {}
        candidates = self.all_candidates
        for condition, label in zip(candidates.conditions, candidates.labels, strict=True):
            of_label.setdefault(label, []).append(condition)
        return [random.choice(of_label[label]) for label in labels]

    def configure_optimizers(self) -> Any:
        """Optimizer of the trainable parameters, and the scheduler, stepped every step."""
        return make_optimizers(self, self.optimizer, self.lr_scheduler, lr=1e-4)
