"""Strategies: how many trials each candidate of each image gets."""

from diffclf_lightning.evaluation.strategies.base import Strategy
from diffclf_lightning.evaluation.strategies.comparing import Comparing
from diffclf_lightning.evaluation.strategies.racing import Racing
from diffclf_lightning.evaluation.strategies.staged import Full, Staged
from diffclf_lightning.evaluation.strategies.thinning import Thinning

__all__ = ["Comparing", "Full", "Racing", "Staged", "Strategy", "Thinning"]
