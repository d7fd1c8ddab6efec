"""Metrics: pure functions, and what torchmetrics makes of them over a run."""

from diffclf_lightning.metrics.accuracy import Accuracy
from diffclf_lightning.metrics.calibration import fit_temperature
from diffclf_lightning.metrics.intervals import Interval, clopper_pearson
from diffclf_lightning.metrics.matching import ALL, KINDS, Matched, MatchingReport, matching_report
from diffclf_lightning.metrics.paired import PairedCounts, holm
from diffclf_lightning.metrics.recall import shortlist_recall
from diffclf_lightning.metrics.report import ClassificationReport, Report, classification_report
from diffclf_lightning.metrics.risk import images_needed, last_within
from diffclf_lightning.metrics.time_weights import (
    fit_time_weights,
    one_trial_a_part,
    repeats_and_step,
    softmax_regression,
)

__all__ = [
    "ALL",
    "KINDS",
    "Accuracy",
    "ClassificationReport",
    "Interval",
    "Matched",
    "MatchingReport",
    "PairedCounts",
    "Report",
    "classification_report",
    "clopper_pearson",
    "fit_temperature",
    "fit_time_weights",
    "holm",
    "images_needed",
    "last_within",
    "matching_report",
    "one_trial_a_part",
    "repeats_and_step",
    "shortlist_recall",
    "softmax_regression",
]
