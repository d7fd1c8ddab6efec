"""Effective robustness of models against baselines, over finished runs and published tables."""

from diffclf_lightning.robustness.comparison import Comparison, Settings, compare, compare_all
from diffclf_lightning.robustness.lines import (
    Line,
    PiecewiseLinear,
    Robustness,
    effective_robustness,
)
from diffclf_lightning.robustness.pairs import Pair
from diffclf_lightning.robustness.scales import get_scale
from diffclf_lightning.robustness.sources import read_baselines, read_models
from diffclf_lightning.robustness.tables import Model, Table, read_table

__all__ = [
    "Comparison",
    "Line",
    "Model",
    "Pair",
    "PiecewiseLinear",
    "Robustness",
    "Settings",
    "Table",
    "compare",
    "compare_all",
    "effective_robustness",
    "get_scale",
    "read_baselines",
    "read_models",
    "read_table",
]
