"""Training of denoisers: on labelled images, on captioned images, and of a text encoder."""

from diffclf_lightning.denoisers import LoRA
from diffclf_lightning.training.captions import CaptionTraining
from diffclf_lightning.training.classification import CandidateCrossEntropy
from diffclf_lightning.training.denoiser import DenoiserTraining
from diffclf_lightning.training.grammar import GrammarTraining
from diffclf_lightning.training.times import Successive, TimeRange, TimeSampler

__all__ = [
    "CandidateCrossEntropy",
    "CaptionTraining",
    "DenoiserTraining",
    "GrammarTraining",
    "LoRA",
    "Successive",
    "TimeRange",
    "TimeSampler",
]
