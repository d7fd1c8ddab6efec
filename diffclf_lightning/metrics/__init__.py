"""Metrics: pure functions, and what torchmetrics makes of them over a run."""

from diffclf_lightning.metrics.calibration import fit_temperature
from diffclf_lightning.metrics.count import Count
from diffclf_lightning.metrics.intervals import Interval, clopper_pearson
from diffclf_lightning.metrics.report import Report, SetMetrics

__all__ = ["Count", "Interval", "Report", "SetMetrics", "clopper_pearson", "fit_temperature"]
