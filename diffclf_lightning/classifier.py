"""DiffusionClassifier: any conditional diffusion model as a classifier, on Lightning."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torchmetrics.aggregation import CatMetric

from diffclf_lightning.candidates import Candidates, Condition
from diffclf_lightning.denoisers import Denoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import (
    Full,
    Grid,
    Loss,
    NestedGrid,
    Noise,
    NoiseFunction,
    Strategy,
    TrialSource,
    evaluate,
    find_evaluations_per_batch,
    get_losses,
)
from diffclf_lightning.image_classifier import ImageClassifier, image_and_label
from diffclf_lightning.metrics import fit_temperature
from diffclf_lightning.optimization import make_optimizers
from diffclf_lightning.predictions import Outcome
from diffclf_lightning.prompts import EachPrompt, Prompts
from diffclf_lightning.weights import checksum


@dataclass(frozen=True)
class Task:
    """What the classifier has ready for a set."""

    candidates: Candidates
    conditioning: Tensor
    labels: Tensor
    strategy: Strategy
    source: TrialSource


class DiffusionClassifier(ImageClassifier):
    r"""Classifies an image by the conditioning under which its noise is predicted best.

    :math:`\arg\min_c E_{t, \epsilon}[\ell(\epsilon, \epsilon_\theta(x_t, t, c))]`, all candidates
    on the same trials, pruned by a strategy (Li et al., ICCV 2023, Algorithms 1 and 2).

    Takes batches of ``(image, label)``: images of ``denoiser.image_shape``, uint8 in [0, 255] or
    floating point in [0, 1]; labels from 0.

    Args:
        denoiser: The diffusion model.
        strategy: How many trials each candidate gets; 250 for all when not given.
        loss: Compares noise with its prediction, and decides: ``l2``, ``l1``, ``huber``, ``bound``
            and ``l2+bound`` (of a model that predicts its variance), a :class:`Loss` or a function.
        other_losses: Further losses of the same forward passes, each with an answer of its own
            among the candidates that met all trials.
        candidates: What to choose among, or prompts that make it from the class names. When not
            given: ``template``, or the classes of a class-conditional model.
        template: Prompt template with ``{}`` for the class name, or several, each prompt of which
            is a candidate (:class:`EachPrompt`).
        classnames: Class names in the order of labels; the data module's when not given.
        grid: Which timesteps the trials use; :class:`NestedGrid` when not given.
        seed: Seed of the noise.
        noise_per_image: Whether every image has noise of its own.
        temperature: Factor on mean errors in the posterior; ``validate`` logs the one that fits.
        evaluations_per_batch: Evaluations in one forward pass; found by trial when not given.
        validation_strategy: Strategy of ``validate`` and of validation within ``fit``; 8 trials
            for all when not given.
        label_dropout: Share of training labels replaced by "no class".
        optimizer: Makes the optimizer from the parameters; AdamW with learning rate 1e-4, and no
            scheduler, when not given.
        lr_scheduler: Makes the learning-rate scheduler from the optimizer; stepped every step.

    Raises:
        InputError: If the arguments contradict each other.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        strategy: Strategy | None = None,
        loss: str | Loss | NoiseFunction = "l2",
        other_losses: Sequence[str | Loss | NoiseFunction] = (),
        candidates: Candidates | Prompts | None = None,
        template: str | list[str] | None = None,
        classnames: list[str] | None = None,
        grid: Grid | None = None,
        seed: int = 0,
        noise_per_image: bool = False,
        temperature: float = 1.0,
        evaluations_per_batch: int | None = None,
        validation_strategy: Strategy | None = None,
        label_dropout: float = 0.1,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise InputError(f"Expected argument `temperature` above 0, but got {temperature}.")
        if evaluations_per_batch is not None and evaluations_per_batch < 1:
            raise InputError(
                "Expected argument `evaluations_per_batch` to be at least 1, but got "
                f"{evaluations_per_batch}. Leave it out to have it found."
            )
        if not 0 <= label_dropout < 1:
            raise InputError(
                f"Expected argument `label_dropout` in [0, 1), but got {label_dropout}."
            )
        if candidates is not None and template is not None:
            raise InputError("Expected either `candidates` or `template`, but got both. Drop one.")
        self.denoiser = denoiser
        self.strategy = strategy or Full(trials=250)
        self.validation_strategy = validation_strategy or Full(trials=8)
        self.loss, *self.other_losses = get_losses(loss, other_losses)
        self.other_loss_names = [one.name for one in self.other_losses]
        for one in (self.loss, *self.other_losses):
            if one.needs_variance and not denoiser.predicts_variance:
                raise InputError(
                    f"Expected a model that predicts its variance for loss {one.name!r}, but got "
                    f"{type(denoiser).__name__}, which predicts noise alone. Take the loss out of "
                    "`loss` and `other_losses`, or a model with twice the channels (DiT-XL-2)."
                )
        self.candidates = candidates if template is None else EachPrompt(template)
        self.classnames = classnames
        self.grid = grid or NestedGrid()
        self.noise = Noise(seed, noise_per_image)
        self.temperature = temperature
        self.evaluations_per_batch = evaluations_per_batch
        self.label_dropout = label_dropout
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler

    def setup(self, stage: str) -> None:
        """Settle the candidates, and give the data module the model's transform."""
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        if hasattr(datamodule, "use_transform_of_model"):
            datamodule.use_transform_of_model(self.denoiser.transform)
        known = getattr(datamodule, "classnames", None)
        names = self.classnames or known
        if names is not None and known is not None and len(names) != len(known):
            raise InputError(
                f"Expected argument `classnames` to have {len(known)} names, one for each label of "
                f"the data, but got {len(names)}."
            )
        self._candidates = self._settle(names)
        self.num_labels = max(self._candidates.labels) + 1
        if self.num_labels < 2:
            raise InputError("Expected candidates for at least two labels, but got one label.")
        if names is not None and len(names) != self.num_labels:
            raise InputError(
                f"Expected as many `classnames` as labels, but got {len(names)} names for "
                f"{self.num_labels} labels. Give one name a label, in the order of labels."
            )
        used = self.strategy if stage in ("test", "predict") else self.validation_strategy
        used.check(len(self._candidates))

    def _settle(self, names: Sequence[str] | None) -> Candidates:
        if isinstance(self.candidates, Prompts):
            return self.candidates.candidates(names)
        if self.candidates is not None:
            return self.candidates
        if self.denoiser.num_classes is None:
            raise InputError(
                f"Expected argument `template` or `candidates`, since "
                f"{type(self.denoiser).__name__} has no classes of its own. Give for instance "
                "template='a photo of a {}.'."
            )
        return Candidates.from_class_ids(self.denoiser.num_classes)

    def describe(self) -> dict[str, Any]:
        """See :meth:`ImageClassifier.describe`."""
        return {
            "classifier": type(self).__name__,
            "denoiser": type(self.denoiser).__name__,
            "weights": checksum(self.denoiser),
            "candidates": list(self._candidates.conditions),
            "labels": list(self._candidates.labels),
            "strategy": repr(self.strategy),
            "grid": repr(self.grid),
            "noise": repr(self.noise),
            "loss": self.loss.name,
            "other_losses": list(self.other_loss_names),
            "temperature": self.temperature,
            "sample_shape": list(self.denoiser.sample_shape),
            "schedule": self.denoiser.schedule.describe(),
        }

    def prepare(self, classes: Sequence[int | Sequence[int]] | None) -> tuple[Task, int]:
        """See :meth:`ImageClassifier.prepare`."""
        validating = self.trainer.validating or self.trainer.sanity_checking
        strategy = self.validation_strategy if validating else self.strategy
        candidates = self._candidates if classes is None else self._candidates.restrict(classes)
        strategy.check(len(candidates))
        steps = self.denoiser.schedule.num_train_timesteps
        shape = self.denoiser.sample_shape
        source = TrialSource(self.grid, self.noise, strategy.trials, steps, shape)
        conditioning = self.denoiser.condition(candidates.conditions)
        labels = torch.tensor(candidates.labels, device=self.device)
        task = Task(candidates, conditioning, labels, strategy, source)
        return task, strategy.evaluations(len(candidates), steps, self.grid)

    def classify(self, images: Tensor, task: Task) -> Outcome:
        """See :meth:`ImageClassifier.classify`."""
        table = evaluate(
            self.denoiser,
            self.denoiser.encode(images),
            task.conditioning,
            task.source(images),
            task.strategy,
            self.loss,
            self.other_losses,
            labels=task.labels,
            names=task.candidates.names,
            evaluations_per_batch=self._evaluations_per_batch(images, task),
            on_progress=self.on_evaluations,
        )
        return Outcome.from_table(table, self.num_labels, self.temperature)

    def warm_up(self, images: Tensor, task: Task) -> None:
        """Find the number of evaluations in a forward pass."""
        self._evaluations_per_batch(images, task)

    def _evaluations_per_batch(self, images: Tensor, task: Task) -> int:
        if self.evaluations_per_batch is None:
            x_0 = self.denoiser.encode(images)
            self.evaluations_per_batch = self._find_batch(x_0, task)
        return self.evaluations_per_batch

    def _find_batch(self, x_0: Tensor, task: Task) -> int:
        steps = self.denoiser.schedule.num_train_timesteps

        def forward(size: int) -> None:
            rows = torch.arange(size, device=x_0.device)
            with torch.no_grad():
                self.denoiser.predict(
                    x_0[rows % len(x_0)], rows % steps, task.conditioning[rows % len(task.labels)]
                )

        largest = len(x_0) * len(task.labels) * task.strategy.trials[0]
        return find_evaluations_per_batch(forward, largest=largest, device=x_0.device)

    def on_validation_start(self) -> None:
        """Prepare the sets, and the scores that the temperature is fitted on."""
        self.begin(self.trainer.val_dataloaders, "validation")
        self._scores, self._labels = CatMetric().to(self.device), CatMetric().to(self.device)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count the accuracy, and keep the scores."""
        images, labels = image_and_label(batch)
        result = self.step(images, labels, self.sets[dataloader_idx])
        if result is not None:
            self._scores.update(result.outcome.scores.to(self.device))
            self._labels.update(result.labels.to(self.device))

    def on_validation_epoch_end(self) -> None:
        """Log accuracy, the error of the true labels and the temperature that fits best."""
        self.report()
        if not self.reports:
            return
        scores = self._scores.compute().reshape(-1, self.num_labels)
        labels = self._labels.compute().long().reshape(-1)
        true_error = scores.gather(1, labels[:, None]).mean()
        self.log("validation/loss", true_error, prog_bar=True)
        if (scores.argmin(dim=1) == labels).all() and self.trainer.state.fn == TrainerFn.VALIDATING:
            rank_zero_warn(
                "All validation images are classified correctly: the logged temperature is bounded "
                "by nothing but the search. Validate on more, or on harder images."
            )
        temperature = fit_temperature(scores.cpu(), labels.cpu())
        self.log("validation/temperature", torch.tensor(temperature, dtype=self._exact))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Denoising loss in the model's own target (mean squared error).

        Timesteps are stratified over the batch, and a share of the labels is dropped.
        """
        images, labels = self.readable(batch, "train")
        x_0 = self.denoiser.encode(images)
        size, steps = len(x_0), self.denoiser.schedule.num_train_timesteps
        order = torch.randperm(size).to(x_0.device)
        offset = torch.rand(size, device=x_0.device, dtype=torch.float32)
        place = (order + offset) / size
        timestep = (place * steps).long().clamp(max=steps - 1)
        noise = torch.randn_like(x_0)
        conditioning = self.denoiser.condition(self._conditions(labels.tolist()))
        if self.label_dropout:
            drop = torch.rand(size, device=x_0.device) < self.label_dropout
            drop = drop.reshape(-1, *(1,) * (conditioning.ndim - 1))
            null = self.denoiser.null_conditioning(conditioning)
            conditioning = torch.where(drop, null, conditioning)
        x_t = self.denoiser.add_noise(x_0, noise, timestep)
        output = self.denoiser(x_t, timestep, conditioning)
        loss = F.mse_loss(output.float(), self.denoiser.target(x_0, noise, timestep))
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def _conditions(self, labels: Sequence[int]) -> list[Condition]:
        """A condition of each label, drawn where several stand for one."""
        of_label: dict[int, list[Condition]] = {}
        for condition, label in zip(
            self._candidates.conditions, self._candidates.labels, strict=True
        ):
            of_label.setdefault(label, []).append(condition)
        return [random.choice(of_label[label]) for label in labels]

    def configure_optimizers(self) -> Any:
        """Optimizer of the trainable parameters, and the scheduler, stepped every step."""
        return make_optimizers(self, self.optimizer, self.lr_scheduler, lr=1e-4)
