"""Baselines: discriminative classifiers with the test sets, metrics and results of the others."""

from diffclf_lightning.baselines.discriminative import DiscriminativeClassifier
from diffclf_lightning.baselines.feature_cache import FeatureCache
from diffclf_lightning.baselines.features import DenoiserFeatures
from diffclf_lightning.baselines.head import ResidualHead
from diffclf_lightning.baselines.loading import load_baseline
from diffclf_lightning.baselines.supervised import FeatureClassifier
from diffclf_lightning.baselines.timm import TimmClassifier
from diffclf_lightning.baselines.torchvision import TorchvisionClassifier

__all__ = [
    "DenoiserFeatures",
    "DiscriminativeClassifier",
    "FeatureCache",
    "FeatureClassifier",
    "ResidualHead",
    "TimmClassifier",
    "TorchvisionClassifier",
    "load_baseline",
]
