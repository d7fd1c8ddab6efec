"""Baselines: discriminative and contrastive classifiers with the sets and results of the others."""

from diffclf_lightning.baselines.contrastive import ContrastiveClassifier
from diffclf_lightning.baselines.contrastive_training import ContrastiveTraining
from diffclf_lightning.baselines.discriminative import DiscriminativeClassifier
from diffclf_lightning.baselines.feature_cache import FeatureCache
from diffclf_lightning.baselines.features import DenoiserFeatures
from diffclf_lightning.baselines.head import ResidualHead
from diffclf_lightning.baselines.loading import load_baseline
from diffclf_lightning.baselines.logits import LogitClassifier
from diffclf_lightning.baselines.open_clip import OpenClipZeroShot
from diffclf_lightning.baselines.supervised import FeatureClassifier
from diffclf_lightning.baselines.timm import TimmClassifier
from diffclf_lightning.baselines.torchvision import TorchvisionClassifier

__all__ = [
    "ContrastiveClassifier",
    "ContrastiveTraining",
    "DenoiserFeatures",
    "DiscriminativeClassifier",
    "FeatureCache",
    "FeatureClassifier",
    "LogitClassifier",
    "OpenClipZeroShot",
    "ResidualHead",
    "TimmClassifier",
    "TorchvisionClassifier",
    "load_baseline",
]
