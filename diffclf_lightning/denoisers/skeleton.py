"""A pipeline without its weights: configurations and vocabularies as text, to be built again."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from transformers import PreTrainedModel

from diffclf_lightning.calibration import FILE, Calibration
from diffclf_lightning.denoisers.auto import family_of
from diffclf_lightning.denoisers.loading import (
    component_class,
    is_component,
    read_index,
    without_code,
)
from diffclf_lightning.denoisers.pipeline import UNDECODED, PipelineDenoiser
from diffclf_lightning.errors import InputError


def rebuilt(
    files: Mapping[str, str], options: Mapping[str, Any], dtype: str, has_decoder: bool
) -> PipelineDenoiser:
    """A denoiser of new weights in the form of another, in evaluation mode.

    Args:
        files: What :meth:`PipelineDenoiser.stored_form` tells: text of files by their path.
        options: Further arguments of the family's constructor.
        dtype: Type of the weights.
        has_decoder: Whether the autoencoder keeps its decoder.

    Raises:
        InputError: If this version knows no such family, or a path leads out of the folder.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            file = _inside(Path(folder), name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode(errors=UNDECODED))
        index = read_index(folder)
        family = family_of(folder, index)
        parts: dict[str, Any] = {}
        for name in (name.rstrip("?") for name in family.components):
            entry = index.get(name)
            parts[name] = _new(Path(folder), name, entry) if is_component(entry) else entry
        denoiser = family.from_components(parts, **options)
        if FILE in files:
            denoiser.calibration = Calibration.load(folder)
    if not has_decoder:
        denoiser.drop_decoder()
    return denoiser.to(getattr(torch, dtype)).eval()


def _inside(folder: Path, name: str) -> Path:
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"Expected a checkpoint with files of a pipeline, but it names {name!r}, which leads "
            "elsewhere. It was made to do harm: do not use it."
        )
    return file


def _new(folder: Path, name: str, entry: list[str]) -> Any:
    kind: Any = component_class(folder, *entry)
    place = str(folder / name)
    if issubclass(kind, ModelMixin):
        return kind.from_config(kind.load_config(place))
    if issubclass(kind, PreTrainedModel):
        return kind(kind.config_class.from_pretrained(place))
    return kind.from_pretrained(place, **without_code(kind))
