"""Published weights, read without running anything that their file holds."""

import pickle
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of
from diffclf_lightning.weight_files import read

ENTRIES = ("ema", "model", "state_dict")
"""Where training scripts put weights among other things, the averaged ones first."""
WRAPPERS = ("module.", "_orig_mod.")
"""What parallel and compiled training puts before every name."""
LISTED = 3


@dataclass
class Checkpoint:
    """Weights by name, and what stands beside them in their file.

    Args:
        file: The file, for messages.
        weights: Tensors by name.
        others: Other entries of the file.
    """

    file: Path
    weights: dict[str, Tensor]
    others: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Arguments of the training script, where they are there."""
        given = self.others.get("args")
        if isinstance(given, Namespace):
            given = vars(given)
        return given if isinstance(given, Mapping) else {}

    @classmethod
    def read(cls, file: str | Path) -> "Checkpoint":
        """Read a file of safetensors, or of ``torch.save`` with tensors alone.

        Weights may be the file's content, or its entry ``ema``, ``model`` or ``state_dict``.

        Raises:
            InputError: If it holds anything else; nothing in it is run.
        """
        file = path_of(file)
        if not file.is_file():
            raise InputError(f"Expected WEIGHTS to be a file, but there is no {str(file)!r}.")
        content: Any = _safetensors(file) if file.suffix == ".safetensors" else _torch(file)
        others: Mapping[str, Any] = {}
        if isinstance(content, Mapping):
            inside = [entry for entry in ENTRIES if isinstance(content.get(entry), Mapping)]
            if inside:
                others, content = content, content[inside[0]]
        if not isinstance(content, Mapping) or not content or not _are_tensors(content):
            raise unusable(
                file,
                "holds something else than tensors by name, by itself or under "
                f"{', '.join(ENTRIES)}. Save the network's `state_dict()`",
            )
        return cls(file, {_bare(name): tensor for name, tensor in content.items()}, others)

    def shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        """Shape of a tensor that has to be there."""
        found = self.weights.get(name)
        if found is None or found.ndim != dimensions:
            has = "none" if found is None else f"one of shape {tuple(found.shape)}"
            raise unusable(
                self.file,
                f"has to have {name!r} with {dimensions} dimensions, and has {has}. It begins with "
                f"{', '.join(list(self.weights)[:LISTED])}, which may be of another model",
            )
        return tuple(found.shape)

    def check(self, expected: Mapping[str, Tensor]) -> None:
        """Refuse weights that are not exactly those of a network.

        Args:
            expected: Its ``state_dict()``, of which shapes matter.
        """
        missing = [name for name in expected if name not in self.weights]
        if missing:
            raise unusable(
                self.file, f"lacks {len(missing)} of the weights, {_listed(missing)}. Get it whole"
            )
        if others := [name for name in self.weights if name not in expected]:
            raise unusable(
                self.file,
                f"has weights that such a network has not, {_listed(others)}. They "
                "are of another model",
            )
        for name, tensor in expected.items():
            if self.weights[name].shape != tensor.shape:
                raise unusable(
                    self.file,
                    f"has {name!r} in shape {tuple(self.weights[name].shape)} where its other "
                    f"weights ask for {tuple(tensor.shape)}. They are of another model",
                )
            if not self.weights[name].isfinite().all():
                raise unusable(
                    self.file, f"has numbers in {name!r} that are not finite. Take other weights"
                )


def unusable(file: Path, reason: str) -> InputError:
    """The error of weights that cannot be used for a reason, given without its full stop."""
    return InputError(
        f"Expected WEIGHTS to be published weights of the given kind, but {str(file)!r} {reason}."
    )


def _safetensors(file: Path) -> Any:
    try:
        return load_file(file)
    except SafetensorError as error:
        raise unusable(file, f"is cut short or damaged ({error}). Fetch it again") from error


def _torch(file: Path) -> Any:
    try:
        return read(file, in_place=True)
    except Exception as error:  # what is cut short ends in whatever its reader was at
        if isinstance(error, pickle.UnpicklingError) and (is_zipfile(file) or _is_pickle(file)):
            raise unusable(
                file,
                "is no file of tensors alone: it holds objects, which could run code when they are "
                "read, and is not read. Where it was made, load it and save the network's "
                "`state_dict()`",
            ) from error
        raise unusable(
            file, "is cut short, damaged, or no weights at all. Fetch it again"
        ) from error


def _is_pickle(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(1) == pickle.PROTO


def _are_tensors(content: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def _bare(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:LISTED])) + (" first" if len(names) > LISTED else "")
