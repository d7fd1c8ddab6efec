"""Optimizer and learning-rate scheduler, as the command line gives them."""

from math import cos, isfinite, pi
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from diffclf_lightning.errors import InputError

OFTEN = 20
"""Steps after which the time that has passed is looked at again."""


def no_loss(module: nn.Module) -> Tensor:
    """The loss of a batch in which nothing could be read: zero, with a gradient of zero."""
    return torch.stack([p.sum() for p in module.parameters() if p.requires_grad]).sum() * 0


class WarmupCosine(LambdaLR):
    """Linear warm-up, then a cosine down to zero that ends when training does.

    Training ends as the Trainer is told: after ``max_steps``, ``max_epochs`` or ``max_time``,
    whichever comes first, so that no length is given here.

    Args:
        optimizer: The optimizer, with the highest learning rate.
        warmup: Share of the training that is warm-up.

    Raises:
        InputError: If ``warmup`` is out of range.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, warmup: float = 0.05) -> None:
        if not 0 <= warmup < 1:
            raise InputError(f"Expected argument `warmup` in [0, 1), but got {warmup}.")
        self.warmup, self.total = warmup, 0.0
        self._trainer: Trainer | None = None
        self._by_time = 0.0
        super().__init__(optimizer, self.factor)

    def follow(self, trainer: Trainer) -> None:
        """Learn how long the training lasts.

        Args:
            trainer: The trainer, in ``configure_optimizers``.

        Raises:
            InputError: If it has no end.
        """
        self._trainer, self.total = trainer, float(trainer.estimated_stepping_batches)
        if not isfinite(self.total) and self._timer is None:
            raise InputError(
                "Expected a Trainer with an end for the learning rate to fall to, but got neither "
                "`max_steps`, `max_epochs` nor `max_time`. Give one."
            )
        for group, rate in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = rate * self.factor(0)

    def factor(self, step: int) -> float:
        """Factor on the highest learning rate at a step."""
        if self._trainer is None:
            return 1.0
        if step % OFTEN == 0 and self._timer is not None:
            self._by_time = self._trainer.strategy.broadcast(_share(self._timer))
        done = min(1.0, max((step + 1) / self.total, self._by_time))
        if done < self.warmup:
            return done / self.warmup
        return 0.5 * (1 + cos(pi * (done - self.warmup) / (1 - self.warmup)))

    @property
    def _timer(self) -> Timer | None:
        callbacks = getattr(self._trainer, "callbacks", ())
        return next((callback for callback in callbacks if isinstance(callback, Timer)), None)

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().state_dict().items() if name != "_trainer"}


def _share(timer: Timer) -> float:
    left = timer.time_remaining()
    if left is None:
        return 0.0
    elapsed = timer.time_elapsed()
    return elapsed / max(elapsed + left, 1e-9)


def make_optimizers(
    module: LightningModule,
    optimizer: OptimizerCallable | None,
    lr_scheduler: LRSchedulerCallable | None,
    lr: float,
) -> Any:
    """What ``configure_optimizers`` returns.

    Args:
        module: The module whose trainable parameters are optimised.
        optimizer: Makes the optimizer. Defaults to None: AdamW, and no scheduler.
        lr_scheduler: Makes the scheduler, stepped every step. Defaults to None: no scheduler.
        lr: Learning rate of that AdamW.

    Returns:
        The optimizer, or a dictionary with both.
    """
    trainable = [p for p in module.parameters() if p.requires_grad]
    if optimizer is None:
        return torch.optim.AdamW(trainable, lr=lr)
    made = optimizer(trainable)
    if lr_scheduler is None:
        return made
    scheduler = lr_scheduler(made)
    if isinstance(scheduler, WarmupCosine):
        scheduler.follow(module.trainer)
    return {"optimizer": made, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
