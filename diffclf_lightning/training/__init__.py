"""Training of denoisers: on labelled images, on captioned images, and of a text encoder."""

from diffclf_lightning.training.captions import CaptionTraining
from diffclf_lightning.training.denoiser import DenoiserTraining
from diffclf_lightning.training.grammar import GrammarTraining
from diffclf_lightning.training.times import Successive, TimeRange, TimeSampler

__all__ = [
    "CaptionTraining",
    "DenoiserTraining",
    "GrammarTraining",
    "Successive",
    "TimeRange",
    "TimeSampler",
]
