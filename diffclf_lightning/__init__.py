"""diffclf-lightning: any conditional diffusion model as an image classifier, on Lightning.

Names are imported when they are used, so that the command line starts without what it does not
need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffclf_lightning.candidates import Candidates
    from diffclf_lightning.classifier import DiffusionClassifier
    from diffclf_lightning.denoisers import AutoDenoiser, Conditioning, Denoiser
    from diffclf_lightning.errors import InputError
    from diffclf_lightning.evaluation import (
        Comparing,
        ErrorTable,
        ExponentialWeight,
        Full,
        GoldenGrid,
        MeanError,
        NestedGrid,
        PiecewiseWeight,
        PublishedGrid,
        Racing,
        RelativeToReference,
        Score,
        Staged,
        Strategy,
        Thinning,
        UniformGrid,
        UniformWeight,
        WeightedError,
        evaluate,
    )
    from diffclf_lightning.guesses import Guess
    from diffclf_lightning.informative import InformativeGrid
    from diffclf_lightning.learned import LearnedWeights, WithoutBias
    from diffclf_lightning.prompts import PromptEnsemble, PromptFile, Prompts
    from diffclf_lightning.shortlists import (
        DenoiserShortlist,
        DiscriminativeShortlist,
        GradientShortlist,
        Shortlist,
        TreeShortlist,
    )
    from diffclf_lightning.tasks import Classification, Matching, Task
    from diffclf_lightning.training import DenoiserTraining

__version__ = "0.1.0"

_HOMES = {
    "candidates": ("Candidates",),
    "classifier": ("DiffusionClassifier",),
    "denoisers": ("AutoDenoiser", "Conditioning", "Denoiser"),
    "errors": ("InputError",),
    "evaluation": (
        "Comparing",
        "ErrorTable",
        "ExponentialWeight",
        "Full",
        "GoldenGrid",
        "MeanError",
        "NestedGrid",
        "PiecewiseWeight",
        "PublishedGrid",
        "Racing",
        "RelativeToReference",
        "Score",
        "Staged",
        "Strategy",
        "Thinning",
        "UniformGrid",
        "UniformWeight",
        "WeightedError",
        "evaluate",
    ),
    "guesses": ("Guess",),
    "informative": ("InformativeGrid",),
    "learned": ("LearnedWeights", "WithoutBias"),
    "prompts": ("PromptEnsemble", "PromptFile", "Prompts"),
    "shortlists": (
        "DenoiserShortlist",
        "DiscriminativeShortlist",
        "GradientShortlist",
        "Shortlist",
        "TreeShortlist",
    ),
    "tasks": ("Classification", "Matching", "Task"),
    "training": ("DenoiserTraining",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = list(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
