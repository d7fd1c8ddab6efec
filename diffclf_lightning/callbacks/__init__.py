"""Callbacks: what is done with results."""

from diffclf_lightning.callbacks.averaging import AveragedWeights
from diffclf_lightning.callbacks.dry_run import DryRun
from diffclf_lightning.callbacks.export import ExportDenoiser, ExportLoRA, ExportOpenClip
from diffclf_lightning.callbacks.figures import ErrorFigure
from diffclf_lightning.callbacks.progress import EvaluationProgress
from diffclf_lightning.callbacks.requeue import Requeue
from diffclf_lightning.callbacks.results import ResultsWriter
from diffclf_lightning.callbacks.robustness import EffectiveRobustness
from diffclf_lightning.callbacks.table import ReportTable
from diffclf_lightning.callbacks.trained import TrainedModel

__all__ = [
    "AveragedWeights",
    "DryRun",
    "EffectiveRobustness",
    "ErrorFigure",
    "EvaluationProgress",
    "ExportDenoiser",
    "ExportLoRA",
    "ExportOpenClip",
    "ReportTable",
    "Requeue",
    "ResultsWriter",
    "TrainedModel",
]
