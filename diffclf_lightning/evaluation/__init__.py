"""Evaluation of candidate conditionings: trials, losses, strategies, table and engine."""

from diffclf_lightning.evaluation.batching import find_evaluations_per_batch
from diffclf_lightning.evaluation.bound import variational_bound
from diffclf_lightning.evaluation.engine import NoisePredictor, evaluate
from diffclf_lightning.evaluation.grids import Grid, NestedGrid, PublishedGrid, UniformGrid
from diffclf_lightning.evaluation.losses import (
    Loss,
    NoiseFunction,
    NoiseLoss,
    Sum,
    VariationalBound,
    get_loss,
    get_losses,
    huber,
    l1,
    l2,
)
from diffclf_lightning.evaluation.prediction import Prediction, ReverseStep
from diffclf_lightning.evaluation.strategies import Full, Staged, Strategy
from diffclf_lightning.evaluation.table import ErrorTable
from diffclf_lightning.evaluation.trials import Noise, Trials, TrialSource, pixel_bytes

__all__ = [
    "ErrorTable",
    "Full",
    "Grid",
    "Loss",
    "NestedGrid",
    "Noise",
    "NoiseFunction",
    "NoiseLoss",
    "NoisePredictor",
    "Prediction",
    "PublishedGrid",
    "ReverseStep",
    "Staged",
    "Strategy",
    "Sum",
    "TrialSource",
    "Trials",
    "UniformGrid",
    "VariationalBound",
    "evaluate",
    "find_evaluations_per_batch",
    "get_loss",
    "get_losses",
    "huber",
    "l1",
    "l2",
    "pixel_bytes",
    "variational_bound",
]
