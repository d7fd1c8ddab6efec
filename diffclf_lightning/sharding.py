"""Strategies of Lightning that share the weights of one model among processes."""

from typing import Any

from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy

from diffclf_lightning.errors import InputError


def refuse_sharding(strategy: Any) -> None:
    """Refuse to evaluate where every forward pass needs all processes.

    Each process evaluates as many trials as its own images need, and would wait for the others for
    ever.

    Args:
        strategy: The Trainer's.

    Raises:
        InputError: If it shares weights among processes.
    """
    stage_3 = isinstance(strategy, DeepSpeedStrategy) and strategy.zero_stage_3
    if stage_3 or isinstance(strategy, FSDPStrategy | ModelParallelStrategy):
        raise InputError(
            "Expected --trainer.strategy to leave each process a whole model (ddp), since images "
            f"need different numbers of forward passes, but got {type(strategy).__name__}. For a "
            "network larger than one device give the denoiser a `device_map`, and "
            "--trainer.devices 1; in `fit`, --trainer.limit_val_batches 0."
        )
