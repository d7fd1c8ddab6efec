"""DenoiserTraining: a denoiser trained or fine-tuned on labelled images."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from diffclf_lightning.calibration import Calibration
from diffclf_lightning.candidates import Candidates, Condition
from diffclf_lightning.classifier import DiffusionClassifier
from diffclf_lightning.denoisers import Denoiser, LoRA, NewDenoiser
from diffclf_lightning.denoisers.skeleton import rebuilt
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import Racing, Strategy
from diffclf_lightning.image_classifier import VALIDATION
from diffclf_lightning.images import image_shape
from diffclf_lightning.metrics import ClassificationReport
from diffclf_lightning.optimization import make_optimizers, no_loss
from diffclf_lightning.prompts import Prompts
from diffclf_lightning.training.classification import CandidateCrossEntropy
from diffclf_lightning.training.loss import denoising_loss, with_noise
from diffclf_lightning.training.times import TimeRange, TimeSampler


class DenoiserTraining(DiffusionClassifier):
    """Trains a denoiser with the denoising loss, and validates it as a classifier.

    The loss is the mean squared error of the network's own target (noise, v, flow). A checkpoint
    of it is one of a :class:`DiffusionClassifier`.

    Args:
        denoiser: The diffusion model, or a :class:`NewDenoiser` that ``fit`` makes for the images
            and classes of the data; afterwards a checkpoint brings it as it was made.
        strategy: How many trials each candidate gets in ``test`` and ``predict``. Defaults to
            None: ``Racing(max_trials=100)``, as ``--config folder`` has it.
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
        times: Draws the times. Defaults to None: evenly spread over [0, 1).
        lora: What alone is trained, low-rank changes of a model that is frozen otherwise. Defaults
            to None: the whole network.
        classification: A loss beside the denoising one, by which the candidates of an image are
            told apart. Defaults to None: the denoising loss alone.

    Raises:
        InputError: If the arguments contradict each other.
    """

    def __init__(
        self,
        denoiser: Denoiser | NewDenoiser,
        strategy: Strategy | None = None,
        candidates: Candidates | Prompts | None = None,
        template: str | list[str] | None = None,
        classnames: list[str] | None = None,
        label_dropout: float = 0.1,
        validation_strategy: Strategy | None = None,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
        times: TimeSampler | None = None,
        lora: LoRA | None = None,
        classification: CandidateCrossEntropy | None = None,
    ) -> None:
        super().__init__(
            denoiser,  # type: ignore[arg-type]
            strategy=strategy or Racing(max_trials=100),
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
        self.times = times or TimeRange()
        self.classification = classification
        self._new = denoiser if isinstance(denoiser, NewDenoiser) else None
        if lora is None:
            return
        if self._new is not None:
            raise InputError(
                "Expected no argument `lora` for a new network, none of whose weights is worth to "
                f"be kept, but got one with {type(denoiser).__name__}. Leave it out."
            )
        lora.add_to(self.denoiser)

    def settled_arguments(self) -> dict[str, Any]:
        return {**super().settled_arguments(), "lora": None}  # the denoiser has it

    @property
    def awaits_checkpoint(self) -> bool:
        return isinstance(self.denoiser, NewDenoiser)

    def check_ready(self) -> None:
        if self.awaits_checkpoint:
            raise InputError(
                f"Expected a trained network, but {type(self.denoiser).__name__} is made when "
                "Trainer.fit knows the data. Train it, or load a checkpoint (load_from_checkpoint)."
            )

    def configure_model(self) -> None:
        """Make a new denoiser for the data of ``fit``; elsewhere a checkpoint brings it."""
        if self._new is None or not self.awaits_checkpoint or not self.fitting:
            return
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        names = self.classnames or getattr(datamodule, "classnames", None)
        if names is None:
            raise InputError(
                "Expected argument `classnames` for a new denoiser, since the data has none. "
                "Give one name a class, in the order of labels."
            )
        shape = image_shape(datamodule) if self._new.needs_data else None
        self.denoiser = self._new.make(shape, list(names))

    def setup(self, stage: str) -> None:
        """Make what is to be made, and settle the candidates."""
        self.configure_model()
        if self.awaits_checkpoint:
            return
        if stage == "fit":
            self.denoiser.calibration = None  # of other weights
        self.settle_temperature()
        super().setup(stage)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take a new denoiser in the form that the checkpoint has it."""
        if self._new is not None:
            self._take_form(checkpoint)
        super().on_load_checkpoint(checkpoint)

    def _take_form(self, checkpoint: dict[str, Any]) -> None:
        form = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {}).get("denoiser")
        if form is None:
            raise InputError(
                "Expected argument `denoiser` to be a made one, since the checkpoint does not hold "
                "its form, but got a new one."
            )
        self.denoiser = rebuilt(**form["init_args"])
        if self._trainer is not None:
            stage = str(self.trainer.state.fn)
            self.denoiser.train(stage == "fit")
            self.setup(stage)

    def on_validation_epoch_end(self) -> None:
        """Report, and calibrate the weights as they are, so that checkpoint and export are too."""
        super().on_validation_epoch_end()
        if self.fitting and not self.trainer.sanity_checking:
            self.denoiser.calibration = self._calibration()
            self.settle_temperature()

    def _calibration(self) -> Calibration | None:
        """What validation fitted; None where it erred on no image, so that nothing bounds it."""
        report, temperature = (
            self.reports.get(VALIDATION),
            self.fitted.get(f"{VALIDATION}/temperature"),
        )
        if temperature is None or not isinstance(report, ClassificationReport):
            return None
        if report.correct == report.total:
            return None
        return Calibration(temperature, self.scores[0].name, report.total)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Denoising loss of a batch, a share of whose labels is dropped."""
        sample = self.training_batch(batch)
        if not len(sample["image"]):
            return no_loss(self)
        x_0 = self.denoiser.encode(sample["image"])
        size = len(x_0)
        noised = with_noise(self.denoiser, x_0, self.times(size, self.global_step))
        conditioning = self.denoiser.condition(self._conditions(sample["label"].tolist()))
        if self.label_dropout:
            drop = torch.rand(size) < self.label_dropout
            nothing = self.denoiser.unconditional()
            conditioning = conditioning.replaced(drop.to(x_0.device), nothing)
        loss = denoising_loss(self.denoiser, noised, conditioning)
        if self.classification is not None:
            entropy = self._entropy(self.classification, x_0, sample["label"])
            loss = loss + self.classification.weight * entropy
        self.log("train/loss", loss, prog_bar=True, batch_size=size)
        return loss

    def _entropy(self, entropy: CandidateCrossEntropy, x_0: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy over the candidates at other trials, logged."""
        known = sorted(set(self.all_candidates.labels))
        conditions = dict(zip(known, self._conditions(known), strict=True))
        repeated = x_0.repeat_interleave(entropy.trials, dim=0)
        noised = with_noise(self.denoiser, repeated, self.times(len(repeated), self.global_step))
        value = entropy(self.denoiser, noised, labels, conditions, self.losses[0])
        self.log("train/cross_entropy", value, prog_bar=True, batch_size=len(x_0))
        return value

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
