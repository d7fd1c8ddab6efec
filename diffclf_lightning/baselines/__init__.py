"""Baselines: discriminative classifiers with the test sets, metrics and results of the others."""

from diffclf_lightning.baselines.discriminative import DiscriminativeClassifier
from diffclf_lightning.baselines.loading import load_baseline
from diffclf_lightning.baselines.timm import TimmClassifier
from diffclf_lightning.baselines.torchvision import TorchvisionClassifier

__all__ = ["DiscriminativeClassifier", "TimmClassifier", "TorchvisionClassifier", "load_baseline"]
