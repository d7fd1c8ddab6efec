"""AveragedWeights: weights averaged over the steps of training, and kept where they are better."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from diffclf_lightning.callbacks.results import results_folder
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluated_set import EvaluatedSet
from diffclf_lightning.image_classifier import VALIDATION, ImageClassifier
from diffclf_lightning.metrics import Report

AVERAGED = "averaged_model_state"


def warmed_up(decay: float, updates: int) -> float:
    """Decay of an average after some updates, ``(1 + n) / (10 + n)`` until it is ``decay``.

    The warm-up is that of TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.

    Args:
        decay: The decay in the end.
        updates: Number of updates so far.

    Example:
        >>> warmed_up(0.999, 0), warmed_up(0.999, 90), warmed_up(0.999, 100_000)
        (0.1, 0.91, 0.999)
    """
    return min(decay, (1 + updates) / (10 + updates))


class AveragedWeights(WeightAveraging):
    """Averages the weights over the steps (EMA), and keeps whichever are better on validation.

    The average forgets the first steps soon, however few there are. Validation within ``fit``
    measures both: ``{set}/accuracy`` is that of the averaged weights, ``{set}/accuracy_raw`` that
    of the raw ones. Checkpoints, the exported model and the module after ``fit`` have the better
    ones as of the last validation, which takes place when training ends by steps, epochs or time;
    the averaged ones where they are equal, or where there is no validation.

    Args:
        decay: Decay of the average after many steps.

    Raises:
        InputError: If ``decay`` is out of range.

    Attributes:
        kept: ``"averaged"`` or ``"raw"``.
        accuracies: Accuracy of each at the last validation.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"Expected argument `decay` in [0, 1), but got {decay}.")
        super().__init__(multi_avg_fn=self._average)
        self.decay = decay
        self.kept = "averaged"
        self.accuracies: dict[str, float] = {}
        self._raw_sets: list[EvaluatedSet] = []

    @torch.no_grad()
    def _average(self, averages: Any, currents: Any, updates: Tensor | int) -> None:
        if averages[0].is_floating_point() or averages[0].is_complex():
            weight = 1 - warmed_up(self.decay, int(updates))
            torch._foreach_lerp_(averages, currents, weight)  # as torch.optim.swa_utils does
        else:
            for average, current in zip(averages, currents, strict=True):
                average.copy_(current)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin the average, before processes share the module."""
        if stage == "fit":
            pl_module.configure_model()  # which may make its network only now
            self.kept, self.accuracies = "averaged", {}
            self._begin(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the average to the device of the weights."""
        if self._average_model is not None:
            self._average_model.to(pl_module.device)

    def _begin(self, pl_module: LightningModule) -> None:
        self._average_model = AveragedModel(
            pl_module, use_buffers=self._use_buffers, **self._kwargs
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average; the last step asks for a validation."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        last_epoch = trainer.max_epochs not in (None, -1) and (
            trainer.current_epoch + 1 >= int(trainer.max_epochs or 0)
        )
        by_steps = 0 < trainer.max_steps <= trainer.global_step
        if by_steps or (last_epoch and trainer.is_last_batch):
            trainer.should_stop = True

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare the sets for the raw weights, then put the averaged ones in their place."""
        if not self._fits(trainer):
            return
        self._raw_sets = []
        if isinstance(pl_module, ImageClassifier) and not trainer.sanity_checking:
            pl_module.begin(trainer.val_dataloaders, VALIDATION)
            self._raw_sets = pl_module.sets
        self._swap_models(pl_module)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The weights are in their place already."""

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Answer the batch with the raw weights too."""
        if not self._raw_sets or not isinstance(pl_module, ImageClassifier):
            return
        averaged, pl_module.sets = pl_module.sets, self._raw_sets
        self._swap_models(pl_module)
        try:
            pl_module.validation_step(batch, batch_idx, dataloader_idx)
        finally:
            pl_module.sets = averaged
            self._swap_models(pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the raw weights again, and say which are better."""
        if not self._fits(trainer):
            return
        self._swap_models(pl_module)
        if not self._raw_sets or not isinstance(pl_module, ImageClassifier):
            return
        pl_module.report()
        raw = accuracies(pl_module.reports_of(self._raw_sets))
        for name, accuracy in raw.items():
            pl_module.log(f"{name}/accuracy_raw", accuracy)
        averaged = accuracies(pl_module.reports)
        if not raw or raw.keys() != averaged.keys():
            return
        self.accuracies = {"averaged": fmean(averaged.values()), "raw": fmean(raw.values())}
        self.kept = max(self.accuracies, key=lambda name: self.accuracies[name])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the better weights in the module, and say which these are."""
        if self.kept == "averaged":
            super().on_train_end(trainer, pl_module)
        if results_folder(trainer) is None:  # else the end of the run says it
            rank_zero_info(f"Weights kept: {self.said()}.")

    def said(self) -> str:
        """Which weights were kept, and why."""
        other = {"averaged": "raw", "raw": "averaged"}[self.kept]
        if not self.accuracies:
            return f"{self.kept} over the steps (no validation compared them with the raw ones)"
        return (
            f"{self.kept}, {self.accuracies[self.kept]:.1%} right on validation; the {other} ones "
            f"{self.accuracies[other]:.1%}"
        )

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "kept": self.kept, "accuracies": dict(self.accuracies)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.kept = state_dict.get("kept", self.kept)
        self.accuracies = dict(state_dict.get("accuracies", {}))

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the better weights as those of the model, and both to go on from."""
        if self._average_model is None:
            return
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        averaged, raw = checkpoint["state_dict"], checkpoint["current_model_state"]
        checkpoint[AVERAGED] = averaged
        checkpoint["state_dict"] = averaged if self.kept == "averaged" else raw

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take up both to go on with ``fit``; what tests takes the model's weights alone."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        self._begin(pl_module)
        both = {**checkpoint, "state_dict": checkpoint.get(AVERAGED, checkpoint["state_dict"])}
        super().on_load_checkpoint(trainer, pl_module, both)

    def _fits(self, trainer: Trainer) -> bool:
        return trainer.state.fn == TrainerFn.FITTING and self._average_model is not None


def accuracies(reports: Mapping[str, Report]) -> dict[str, float]:
    """Accuracy of each set that has one."""
    scalars = {name: report.scalars() for name, report in reports.items()}
    return {name: values["accuracy"] for name, values in scalars.items() if "accuracy" in values}
