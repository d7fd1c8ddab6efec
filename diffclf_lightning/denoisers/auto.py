"""AutoDenoiser: the family of a pipeline, read from its ``model_index.json``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import diffusers
import torch

from diffclf_lightning.denoisers.base import Denoiser
from diffclf_lightning.denoisers.class_conditional import DiTDenoiser, UNetDenoiser
from diffclf_lightning.denoisers.stable_diffusion import StableDiffusion
from diffclf_lightning.errors import InputError

ASSETS = Path(__file__).parents[1] / "assets"
EMBEDDED = "diffclf/"
"""Ids that begin so are models that the package carries."""

DType = Literal["float32", "float16", "bfloat16"]

FAMILIES: dict[tuple[str, str], Any] = {
    ("transformer", "DiTTransformer2DModel"): DiTDenoiser,
    ("unet", "UNet2DModel"): UNetDenoiser,
    ("unet", "UNet2DConditionModel"): StableDiffusion,
}
"""Family by the name and the class of the network."""

RENAMED: dict[tuple[Any, Any], str] = {
    ("DiTPipeline", "Transformer2DModel"): "DiTTransformer2DModel"
}
"""Class of a network today, by pipeline and by the class that older pipelines name."""


class AutoDenoiser:
    """Loads a denoiser of whatever family a pipeline belongs to."""

    @staticmethod
    def from_pretrained(
        pretrained_model_name_or_path: str,
        *,
        image_size: int | None = None,
        lora: str | None = None,
        torch_dtype: DType | torch.dtype = "float32",
        variant: str | None = None,
        revision: str | None = None,
        cache_dir: str | None = None,
        local_files_only: bool = False,
    ) -> Denoiser:
        """Load a denoiser.

        Args:
            pretrained_model_name_or_path: Folder of a diffusers pipeline, hub id, or
                ``diffclf/NAME`` for a model that the package carries.
            image_size: Side of the images, for families that take several (Stable Diffusion).
            lora: LoRA weights, for families that take them (Stable Diffusion).
            torch_dtype: Type of the weights; schedule and errors are float32 in any case.
            variant: Variant of the weights' files, ``fp16`` for instance.
            revision: Revision on the hub.
            cache_dir: Folder of downloaded files.
            local_files_only: Whether to leave the hub alone.

        Returns:
            The denoiser, in evaluation mode.

        Raises:
            InputError: If there is no usable pipeline, or its family does not take an argument.
        """
        path = _resolve(pretrained_model_name_or_path)
        hub: dict[str, Any] = {"revision": revision, "cache_dir": cache_dir}
        hub["local_files_only"] = local_files_only or None
        hub = {name: value for name, value in hub.items() if value is not None}
        index = _model_index(path, hub)
        family = _family(path, index)
        options = {"image_size": image_size, "lora": lora}
        options = {name: value for name, value in options.items() if value is not None}
        refused = sorted(options.keys() - family.options)
        if refused:
            raise InputError(
                f"Expected no argument `{refused[0]}` for {str(path)!r}, but got "
                f"{options[refused[0]]!r}. {family.__name__} does not take it: leave it out."
            )
        dtype = getattr(torch, torch_dtype) if isinstance(torch_dtype, str) else torch_dtype
        files = {**hub, **({"variant": variant} if variant is not None else {})}
        try:
            loaded: Denoiser = family.from_pretrained(
                path, index=index, torch_dtype=dtype, **options, **files
            )
        except OSError as error:
            raise _unusable(path, str(error).split("\n")[0]) from error
        return loaded


def _family(path: str, index: Mapping[str, Any]) -> Any:
    for (component, class_name), family in FAMILIES.items():
        named = (index.get(component) or (None, None))[1]
        if RENAMED.get((index.get("_class_name"), named), named) == class_name:
            return family
    networks = [f"{component} {name}" for component, name in FAMILIES]
    raise _unusable(
        path,
        f"its model_index.json names {index.get('_class_name')!r}, none of the known networks "
        f"({', '.join(networks)})",
    )


def _resolve(name: str) -> str:
    if not name.startswith(EMBEDDED) or Path(name).exists():
        return name
    folder = ASSETS / name.removeprefix(EMBEDDED)
    if not (folder / "model_index.json").is_file():
        known = sorted(EMBEDDED + p.parent.name for p in ASSETS.glob("*/model_index.json"))
        raise InputError(
            f"Expected `pretrained_model_name_or_path` to name a model of the package "
            f"({', '.join(known)}), but got {name!r}."
        )
    return str(folder)


def _model_index(path: str, hub: Mapping[str, Any]) -> dict[str, Any]:
    if Path(path).is_dir():
        file = Path(path) / "model_index.json"
        if not file.is_file():
            raise _unusable(path, "it has no model_index.json")
        try:
            index: dict[str, Any] = json.loads(file.read_text())
        except json.JSONDecodeError as error:
            raise _unusable(path, f"its model_index.json is no JSON ({error})") from error
        return index
    try:
        loaded: dict[str, Any] = diffusers.DiffusionPipeline.load_config(path, **hub)
    except OSError as error:
        raise _unusable(path, "it is no folder, and the hub gave no pipeline of that id") from error
    return loaded


def _unusable(path: str, reason: str) -> InputError:
    return InputError(
        "Expected `pretrained_model_name_or_path` to be a diffusers pipeline (a hub id or a "
        "folder with model_index.json, the network and its scheduler), but got "
        f"{str(path)!r}: {reason}."
    )
