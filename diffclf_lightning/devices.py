"""Where a model runs when nobody says it, and in which type."""

from typing import Literal, TypeVar, get_args

import torch
from torch import nn

from diffclf_lightning.errors import InputError

DType = Literal["float32", "float16", "bfloat16"]
Offload = Literal["model", "sequential"]
"""How modules are kept on the CPU but while they run: as a whole, or layer by layer."""
Module = TypeVar("Module", bound=nn.Module)


def best_device() -> str:
    """``cuda`` or ``mps`` where there is one, else ``cpu``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def dtype_for(device: str, asked: str = "auto") -> DType:
    """The type of weights on a device.

    Args:
        device: Name of the device.
        asked: The type, or ``"auto"``: bfloat16 on CUDA, else float32.

    Raises:
        InputError: If there is no such type.
    """
    if asked == "auto":
        return "bfloat16" if device.startswith("cuda") else "float32"
    found = [dtype for dtype in get_args(DType) if dtype == asked]
    if not found:
        raise InputError(
            f"Expected --dtype to be one of {', '.join(get_args(DType))}, but got {asked!r}."
        )
    chosen: DType = found[0]
    return chosen


def moved(module: Module, device: str) -> Module:
    """A module on a device.

    Args:
        module: The module.
        device: Name of the device.

    Raises:
        InputError: If torch has no such device here.
    """
    try:
        return module.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"Expected --device to be one that torch has here, but got {device!r} "
            f"({str(error).splitlines()[0]})."
        ) from error
