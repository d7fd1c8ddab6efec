"""Files of weights, read without running anything that they may hold."""

from argparse import Namespace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError, safe_open

from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of

UNREADABLE = (
    OSError, SafetensorError, RuntimeError, UnpicklingError, EOFError, ValueError, LookupError,
    TypeError, AttributeError,
)  # fmt: skip
"""What the libraries raise for files that are damaged, or hold something else."""


def read(file: Path, *, in_place: bool = False) -> Any:
    """What ``torch.save`` wrote, if it is tensors and plain values.

    Args:
        file: The file.
        in_place: Whether tensors stay in the file until they are used.
    """
    # A Namespace is a bag of attributes: training scripts put their arguments into one.
    with torch.serialization.safe_globals([Namespace]):
        return torch.load(file, "cpu", weights_only=True, mmap=in_place and is_zipfile(file))


def why(error: Exception) -> str:
    """Why a file of weights is not read, in a line; torch would advise to run what it holds.

    Args:
        error: One of ``UNREADABLE``.
    """
    if isinstance(error, UnpicklingError) or "weights_only" in str(error):
        return (
            "it is no file of tensors and plain values alone: what else it holds could run code "
            "when it is read, and is not read"
        )
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def check_weights(file: str | Path, argument: str) -> None:
    """Refuse a file that holds more than weights before a library reads it.

    Args:
        file: The file.
        argument: Name of the argument, for messages.

    Raises:
        InputError: If it does, or cannot be read.
    """
    path = path_of(file)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt"):
                pass
        else:
            read(path, in_place=True)
    except UNREADABLE as error:
        raise InputError(
            f"Expected argument `{argument}` to be a file of weights, but got {str(file)!r}: "
            f"{why(error)}. Where it was made, save the network's `state_dict()`."
        ) from error
