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
from diffclf_lightning.prompts import EachPrompt, MeanEmbedding, PromptFile, Prompts

__version__ = "0.1.0"

__all__ = [
    "AutoDenoiser",
    "Candidates",
    "Denoiser",
    "DiffusionClassifier",
    "EachPrompt",
    "ErrorTable",
    "Full",
    "InputError",
    "MeanEmbedding",
    "NestedGrid",
    "PromptFile",
    "Prompts",
    "PublishedGrid",
    "Staged",
    "Strategy",
    "UniformGrid",
    "evaluate",
]
