"""Where a denoiser comes from: the call that loads it again."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

from diffclf_lightning.denoisers.base import Denoiser

Arguments = ParamSpec("Arguments")
Loaded = TypeVar("Loaded", bound=Denoiser)


def remembered(load: Callable[Arguments, Loaded]) -> Callable[Arguments, Loaded]:
    """Let what a function loads know the call (:attr:`Denoiser.source`), as a configuration has it.

    Args:
        load: The function, of plain arguments.
    """
    signature = inspect.signature(load)

    @wraps(load)
    def loaded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Loaded:
        given = signature.bind(*args, **kwargs).arguments
        denoiser = load(*args, **kwargs)
        denoiser.source = {
            "class_path": f"{load.__module__}.{load.__qualname__}",
            "init_args": {name: _plain(value) for name, value in given.items()},
        }
        return denoiser

    return loaded


def _plain(value: Any) -> Any:
    return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value
