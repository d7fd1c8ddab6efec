"""Metrics: pure functions, and what torchmetrics makes of them over a run."""

from diffclf_lightning.metrics.accuracy import Accuracy, as_fractions
from diffclf_lightning.metrics.bootstrap import Band, bootstrap_band
from diffclf_lightning.metrics.calibration import fit_temperature
from diffclf_lightning.metrics.count import Count
from diffclf_lightning.metrics.curves import Broken, Curve, Hinged, Straight
from diffclf_lightning.metrics.fits import BrokenLine, Fit, Piece
from diffclf_lightning.metrics.intervals import Interval, clopper_pearson
from diffclf_lightning.metrics.report import Report, SetMetrics
from diffclf_lightning.metrics.robustness import (
    EffectiveRobustness,
    Robustness,
    effective_robustness,
    relative_robustness,
)
from diffclf_lightning.metrics.scales import Linear, Logit, Probit, Scale, get_scale

__all__ = [
    "Accuracy",
    "Band",
    "Broken",
    "BrokenLine",
    "Count",
    "Curve",
    "EffectiveRobustness",
    "Fit",
    "Hinged",
    "Interval",
    "Linear",
    "Logit",
    "Piece",
    "Probit",
    "Report",
    "Robustness",
    "Scale",
    "SetMetrics",
    "Straight",
    "as_fractions",
    "bootstrap_band",
    "clopper_pearson",
    "effective_robustness",
    "fit_temperature",
    "get_scale",
    "relative_robustness",
]
