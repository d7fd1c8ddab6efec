"""Runs the engine as a classifier does, and classifiers without noise."""

import torch
from lightning.pytorch import Trainer

from diffclf_lightning.evaluation import (
    ErrorTable,
    NestedGrid,
    NoiseBank,
    TrialSource,
    evaluate,
    get_losses,
)


def run(model, x_0, strategy, losses=("l2",), score=None, *, noise=None, grid=None, **kwargs):
    """The error table of samples among all classes of a model, or among ``conditions``."""
    source = TrialSource(
        grid or NestedGrid(), noise or NoiseBank(0), strategy.stages, x_0.shape[1:]
    )
    conditions = kwargs.pop("conditions", None)
    told = model.condition(range(model.num_classes) if conditions is None else conditions)
    bound = strategy.bind(told.num_rows, source.ends)
    return evaluate(model, x_0, told, source(x_0), bound, get_losses(losses), score, **kwargs)


def table_of(timesteps=None, **errors):
    """A table of errors by loss that hold NaN behind the trials that a candidate met."""
    filled = {name: torch.as_tensor(values) for name, values in errors.items()}
    present = ~next(iter(filled.values())).isnan()
    counts, labels = present.sum(dim=-1), torch.arange(present.shape[1])
    flat = {name: values[present] for name, values in filled.items()}
    return ErrorTable(flat, counts, labels, counts > 0, timesteps)


def quiet_trainer(**kwargs):
    """A trainer on the CPU that prints and keeps nothing."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return Trainer(accelerator="cpu", enable_checkpointing=False, **quiet, **kwargs)
