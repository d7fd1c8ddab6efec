"""Evaluation of candidate conditionings: trials, losses, strategies, table, scores and engine."""

from diffclf_lightning.evaluation.batching import find_evaluations_per_batch, is_lack_of_memory
from diffclf_lightning.evaluation.deciding import losses_and_scores
from diffclf_lightning.evaluation.engine import evaluate
from diffclf_lightning.evaluation.grids import (
    GoldenGrid,
    NestedGrid,
    PublishedGrid,
    TimeGrid,
    UniformGrid,
    golden_order,
)
from diffclf_lightning.evaluation.labels import best_candidates, log_posterior, per_label
from diffclf_lightning.evaluation.losses import (
    ElementwiseLoss,
    ErrorFunction,
    Loss,
    Sum,
    VariationalBound,
    get_loss,
    get_losses,
    huber,
    l1,
    l2,
)
from diffclf_lightning.evaluation.noised import (
    FlowTarget,
    Noised,
    NoiseTarget,
    Prediction,
    ReverseStep,
    SampleTarget,
    Target,
    Timesteps,
    VTarget,
)
from diffclf_lightning.evaluation.passes import Filling, PassSize
from diffclf_lightning.evaluation.predictor import Predictor
from diffclf_lightning.evaluation.replay import replayed
from diffclf_lightning.evaluation.scored import ScoreTable
from diffclf_lightning.evaluation.scores import (
    ExponentialWeight,
    MeanError,
    PiecewiseWeight,
    RelativeToReference,
    Score,
    TimeWeight,
    UniformWeight,
    WeightedError,
    part_of,
)
from diffclf_lightning.evaluation.strategies import (
    Comparing,
    Full,
    Racing,
    Staged,
    Strategy,
    Thinning,
)
from diffclf_lightning.evaluation.table import ErrorTable
from diffclf_lightning.evaluation.trials import (
    NoiseBank,
    NoiseSource,
    Trials,
    TrialSource,
    pixel_bytes,
)

__all__ = [
    "Comparing",
    "ElementwiseLoss",
    "ErrorFunction",
    "ErrorTable",
    "ExponentialWeight",
    "Filling",
    "FlowTarget",
    "Full",
    "GoldenGrid",
    "Loss",
    "MeanError",
    "NestedGrid",
    "NoiseBank",
    "NoiseSource",
    "NoiseTarget",
    "Noised",
    "PassSize",
    "PiecewiseWeight",
    "Prediction",
    "Predictor",
    "PublishedGrid",
    "Racing",
    "RelativeToReference",
    "ReverseStep",
    "SampleTarget",
    "Score",
    "ScoreTable",
    "Staged",
    "Strategy",
    "Sum",
    "Target",
    "Thinning",
    "TimeGrid",
    "TimeWeight",
    "Timesteps",
    "TrialSource",
    "Trials",
    "UniformGrid",
    "UniformWeight",
    "VTarget",
    "VariationalBound",
    "WeightedError",
    "best_candidates",
    "evaluate",
    "find_evaluations_per_batch",
    "get_loss",
    "get_losses",
    "golden_order",
    "huber",
    "is_lack_of_memory",
    "l1",
    "l2",
    "log_posterior",
    "losses_and_scores",
    "part_of",
    "per_label",
    "pixel_bytes",
    "replayed",
]
