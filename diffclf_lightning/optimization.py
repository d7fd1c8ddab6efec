"""Optimizer and learning-rate scheduler, as the command line gives them."""

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn


def no_loss(module: nn.Module) -> Tensor:
    """The loss of a batch in which nothing could be read: zero, with a gradient of zero."""
    return torch.stack([p.sum() for p in module.parameters() if p.requires_grad]).sum() * 0


def make_optimizers(
    module: nn.Module,
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
    return {
        "optimizer": made,
        "lr_scheduler": {"scheduler": lr_scheduler(made), "interval": "step"},
    }
