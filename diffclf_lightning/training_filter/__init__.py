"""Which share of a test set the filter of a model's training data would keep (Table 2)."""

from diffclf_lightning.training_filter.command import main

__all__ = ["main"]
