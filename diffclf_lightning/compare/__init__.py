"""Finished runs side by side, and pairs of them image by image."""

from diffclf_lightning.compare.command import compare_runs, main
from diffclf_lightning.compare.measured import Measured, read_measured
from diffclf_lightning.compare.pairs import RunPair, read_pairs

__all__ = ["Measured", "RunPair", "compare_runs", "main", "read_measured", "read_pairs"]
