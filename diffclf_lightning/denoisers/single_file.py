"""Models that come as one file, in the layout in which they were published."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.loaders.single_file_utils import (
    SingleFileComponentError,
    fetch_diffusers_config,
    load_single_file_checkpoint,
)
from torch import nn

from diffclf_lightning.denoisers.loading import is_component, load_component, read_index
from diffclf_lightning.denoisers.wholeness import said, unusable
from diffclf_lightning.errors import InputError

WITHIN = {
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0.", "text_encoders.clip_l."),
    "text_encoder_2": ("conditioner.embedders.1.", "text_encoders.clip_g."),
}
"""How names of weights in such files begin, by the component's name."""
T5 = ("text_encoders.t5xxl.",)
"""How those of T5 begin, whichever text encoder it is."""
LORA = ("lora_", ".lora.", "lokr_")
"""What names of LoRA weights have within, in each layout."""


def described_by(path: str | Path, config: str | None, **hub: Any) -> str:
    """The pipeline that says what a file of weights is.

    Args:
        path: The file.
        config: Folder of a pipeline or hub id, or None: the one that diffusers infers.
        **hub: As :func:`read_index` takes them.

    Raises:
        InputError: If the file does not load, or diffusers' guess is not there.
    """
    if config is not None:
        return config
    guess = str(fetch_diffusers_config(_weights(path))["pretrained_model_name_or_path"])
    try:
        read_index(guess, **hub)
    except InputError as error:
        raise unusable(
            path,
            f"it is one file, which by its weights belongs to {guess!r}, and that is not to be "
            "had. Give `config`, folder or hub id of the pipeline that it belongs to",
        ) from error
    return guess


def _weights(path: str | Path) -> Mapping[str, torch.Tensor]:
    try:
        weights: Mapping[str, torch.Tensor] = load_single_file_checkpoint(str(path))
    except Exception as error:  # the libraries have no error of their own for damaged files
        raise unusable(path, f"the file does not load: {said(error)}") from error
    if any(part in key for key in weights for part in LORA):
        raise InputError(
            "Expected `pretrained_model_name_or_path` to be a model, but "
            f"{str(path)!r} holds LoRA weights, which change one. Name the model that they were "
            "made for, and give the file as argument `lora`."
        )
    return weights


def load_single_file(
    pipeline_class: type[DiffusionPipeline],
    names: Sequence[str],
    path: str | Path,
    config: str,
    *,
    torch_dtype: torch.dtype,
    **hub: Any,
) -> dict[str, Any]:
    """Load what a family needs from a file of weights, by diffusers' ``from_single_file``.

    What the file lacks, an autoencoder or text encoders, is that of ``config``.

    Args:
        pipeline_class: The pipeline of the family.
        names: Components; those that end in ``?`` may be absent.
        path: The file.
        config: Pipeline folder or hub id that says what the components are.
        torch_dtype: Type of the weights.
        **hub: ``revision``, ``cache_dir``, ``local_files_only`` for a hub id.

    Returns:
        Components by name, None where absent.

    Raises:
        InputError: If the family has no such files, or the file is not whole.
    """
    load: Any = getattr(pipeline_class, "from_single_file", None)
    if load is None:
        raise InputError(
            f"Expected a pipeline's folder for {pipeline_class.__name__}, which diffusers does not "
            f"load from one file, but got {str(path)!r}. Give a folder or hub id."
        )
    lacking = _lacking(_weights(path), read_index(config, **hub))
    try:
        try:
            made = _made(load, path, config, lacking, torch_dtype, hub)
        except SingleFileComponentError:
            if Path(config).is_dir():
                raise
            network = {names[0]: None}  # which the file has
            config = str(pipeline_class.download(config, **network, **hub))
            made = _made(load, path, config, lacking, torch_dtype, hub)
    except InputError:
        raise
    except Exception as error:  # the libraries have no error of their own for damaged files
        raise unusable(
            path,
            f"with config={config!r} the file does not load: {_reason(error, pipeline_class)}. "
            "Give as `config` the folder of a whole pipeline of the same form",
        ) from error
    parts: dict[str, Any] = {}
    for name in (name.rstrip("?") for name in names):
        entry = made.config.get(name)
        parts[name] = getattr(made, name, None if isinstance(entry, tuple | list) else entry)
        if isinstance(parts[name], nn.Module):
            _check_whole(path, name, parts[name])
    return parts


def _lacking(weights: Mapping[str, Any], index: Mapping[str, Any]) -> list[str]:
    """Networks of a pipeline beside its first that a file has no weights of."""
    lacking = []
    for name, entry in index.items():
        if is_component(entry) and name.startswith(("vae", "text_encoder")):
            begins = T5 if entry[1] == "T5EncoderModel" else WITHIN.get(name, ())
            if not any(key.startswith(begins) for key in weights):
                lacking.append(name)
    return lacking


def _reason(error: Exception, pipeline_class: type[DiffusionPipeline]) -> str:
    """Why a file does not load; what converts layouts takes it for granted that all is there."""
    if isinstance(error, LookupError | TypeError | AttributeError):
        return f"its weights are not those of a {pipeline_class.__name__}, or some are missing"
    return said(error)


def _made(
    load: Any,
    path: str | Path,
    config: str,
    lacking: Sequence[str],
    torch_dtype: torch.dtype,
    hub: Mapping[str, Any],
) -> Any:
    """The pipeline; what the file is ``lacking`` is that of the folder ``config``, if it is one."""
    beside = {
        name: load_component(config, Path(config, name), entry, torch_dtype)
        for name, entry in read_index(config, **hub).items()
        if name in lacking and Path(config, name).is_dir()
    }
    return load(str(path), config=config, torch_dtype=torch_dtype, **beside, **hub)


def _check_whole(path: str | Path, name: str, model: nn.Module) -> None:
    missing = [key for key, value in model.named_parameters() if value.is_meta]
    if missing:
        raise unusable(
            path, f"its {name} lacks {len(missing)} weights, {missing[0]!r} first. Fetch it again"
        )


def check_single_file(
    path: str | Path,
    variant: str | None,
    quantization_config: Any,
    leave_out: Sequence[str],
    device_map: Any,
) -> None:
    """Refuse arguments that are of a folder's files alone.

    Raises:
        InputError: If one was given.
    """
    given = {
        "variant": variant,
        "quantization_config": quantization_config,
        "leave_out": leave_out or None,
        "device_map": device_map,
    }
    for name, value in given.items():
        if value is not None:
            raise InputError(
                f"Expected no argument `{name}` for {str(path)!r}, which is one file, but got "
                f"{value!r}. Leave it out, or give a pipeline's folder."
            )


def check_no_config(path: str | Path, config: str | None) -> None:
    """Refuse ``config`` beside a folder, which has its own.

    Raises:
        InputError: If it was given.
    """
    if config is not None:
        raise InputError(
            f"Expected no argument `config` for {str(path)!r}, which is no single file, but got "
            f"{config!r}. Leave it out."
        )
