"""Callbacks: what is done with results."""

from diffclf_lightning.callbacks.export import ExportDenoiser
from diffclf_lightning.callbacks.figures import ErrorFigure
from diffclf_lightning.callbacks.progress import EvaluationProgress
from diffclf_lightning.callbacks.results import ResultsWriter
from diffclf_lightning.callbacks.robustness import EffectiveRobustness
from diffclf_lightning.callbacks.table import ReportTable

__all__ = [
    "EffectiveRobustness",
    "ErrorFigure",
    "EvaluationProgress",
    "ExportDenoiser",
    "ReportTable",
    "ResultsWriter",
]
