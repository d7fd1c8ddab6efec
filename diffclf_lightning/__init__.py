"""diffclf-lightning: any conditional diffusion model as an image classifier, on Lightning."""

from diffclf_lightning.candidates import Candidates
from diffclf_lightning.classifier import DiffusionClassifier
from diffclf_lightning.denoisers import AutoDenoiser, Conditioning, Denoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import (
    ErrorTable,
    ExponentialWeight,
    Full,
    GoldenGrid,
    MeanError,
    NestedGrid,
    PiecewiseWeight,
    PublishedGrid,
    RelativeToReference,
    Score,
    Staged,
    Strategy,
    UniformGrid,
    UniformWeight,
    WeightedError,
    evaluate,
)
from diffclf_lightning.prompts import PromptEnsemble, PromptFile, Prompts
from diffclf_lightning.tasks import Classification, Task
from diffclf_lightning.training import DenoiserTraining

__version__ = "0.1.0"

__all__ = [
    "AutoDenoiser",
    "Candidates",
    "Classification",
    "Conditioning",
    "Denoiser",
    "DenoiserTraining",
    "DiffusionClassifier",
    "ErrorTable",
    "ExponentialWeight",
    "Full",
    "GoldenGrid",
    "InputError",
    "MeanError",
    "NestedGrid",
    "PiecewiseWeight",
    "PromptEnsemble",
    "PromptFile",
    "Prompts",
    "PublishedGrid",
    "RelativeToReference",
    "Score",
    "Staged",
    "Strategy",
    "Task",
    "UniformGrid",
    "UniformWeight",
    "WeightedError",
    "evaluate",
]
