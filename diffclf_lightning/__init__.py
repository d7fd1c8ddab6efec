"""diffclf-lightning: any conditional diffusion model as an image classifier, on Lightning."""

from diffclf_lightning.candidates import Candidates
from diffclf_lightning.classifier import DiffusionClassifier
from diffclf_lightning.denoisers import AutoDenoiser, Denoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import (
    ErrorTable,
    Full,
    NestedGrid,
    PublishedGrid,
    Staged,
    Strategy,
    UniformGrid,
    evaluate,
)

__version__ = "0.1.0"

__all__ = [
    "AutoDenoiser",
    "Candidates",
    "Denoiser",
    "DiffusionClassifier",
    "ErrorTable",
    "Full",
    "InputError",
    "NestedGrid",
    "PublishedGrid",
    "Staged",
    "Strategy",
    "UniformGrid",
    "evaluate",
]
