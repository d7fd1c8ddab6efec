"""Effective robustness of models against baselines, over finished runs and published tables."""

from diffclf_lightning.robustness.extremes import Extremes, LeaveOut, Refuse, Smooth
from diffclf_lightning.robustness.figure import draw
from diffclf_lightning.robustness.models import Model, Table
from diffclf_lightning.robustness.pairs import Pair, known_pairs
from diffclf_lightning.robustness.runs import read_run
from diffclf_lightning.robustness.sources import compare_all, read_baselines, read_models
from diffclf_lightning.robustness.study import Comparison, Row, Settings, compare
from diffclf_lightning.robustness.tables import read_table, shipped_tables

__all__ = [
    "Comparison",
    "Extremes",
    "LeaveOut",
    "Model",
    "Pair",
    "Refuse",
    "Row",
    "Settings",
    "Smooth",
    "Table",
    "compare",
    "compare_all",
    "draw",
    "known_pairs",
    "read_baselines",
    "read_models",
    "read_run",
    "read_table",
    "shipped_tables",
]
