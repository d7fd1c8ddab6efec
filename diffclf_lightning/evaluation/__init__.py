"""Evaluation of candidate conditionings: trials, losses, strategies, table and engine."""

from diffclf_lightning.evaluation.batching import find_evaluations_per_batch
from diffclf_lightning.evaluation.engine import NoisePredictor, evaluate
from diffclf_lightning.evaluation.grids import Grid, NestedGrid, PublishedGrid, UniformGrid
from diffclf_lightning.evaluation.losses import Loss, get_loss, huber, l1, l2
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
    "NoisePredictor",
    "PublishedGrid",
    "Staged",
    "Strategy",
    "TrialSource",
    "Trials",
    "UniformGrid",
    "evaluate",
    "find_evaluations_per_batch",
    "get_loss",
    "huber",
    "l1",
    "l2",
    "pixel_bytes",
]
