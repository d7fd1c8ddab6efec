r"""LoRA weights in files, as diffusers reads and writes them: adapters of one form of pipeline.

With several, the weight of a layer becomes :math:`W + \sum_i w_i \frac{\alpha_i}{r_i} B_i A_i`.
"""

import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline

from diffclf_lightning.denoisers.lora import layers_of
from diffclf_lightning.denoisers.wholeness import said
from diffclf_lightning.errors import InputError
from diffclf_lightning.extras import needed
from diffclf_lightning.paths import named

STRANGE = re.compile(
    r"unexpected keys.*?model:\W*([\w.]+\w)|^(\S.*?) *\|[^|\n]*UNEXPECTED", re.MULTILINE
)
"""A weight that there is no layer for, in a message of diffusers, or in a table of transformers."""


def check_adapters(
    pipeline_class: type[DiffusionPipeline], lora: str | Path | Mapping[str, float]
) -> dict[str, float]:
    """Weights of adapters by their file, folder or hub id.

    Args:
        pipeline_class: The pipeline that is to take them.
        lora: One adapter, which has weight 1, or several with their weights.

    Raises:
        InputError: If the pipeline takes none, peft is not installed, there is none, or a weight is
            no number.
    """
    if not hasattr(pipeline_class, "load_lora_weights"):
        raise InputError(
            f"Expected no argument `lora`, since diffusers' {pipeline_class.__name__} loads none, "
            f"but got {lora!r}. Leave it out."
        )
    needed("peft", "lora")
    adapters = dict(lora) if isinstance(lora, Mapping) else {str(lora): 1.0}
    adapters = {named(path): weight for path, weight in adapters.items()}
    if not adapters:
        raise InputError(
            "Expected argument `lora` to name an adapter, but got none. Give a file, a folder or a "
            "hub id, or leave it out."
        )
    for path, weight in adapters.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not isfinite(weight):
            raise InputError(
                f"Expected argument `lora` to have a number as the weight of {path!r}, but got "
                f"{weight!r}."
            )
    return adapters


def fuse_adapters(pipeline: Any, adapters: Mapping[str, float], **hub: Any) -> None:
    """Load adapters with diffusers' own loader, and add them to the weights of a pipeline.

    Args:
        pipeline: The pipeline.
        adapters: Weight of each by its file, folder or hub id, as :func:`check_adapters` gives.
        **hub: Passed on to diffusers for an id.

    Raises:
        InputError: If one does not load, or something in it does not belong to the pipeline.
    """
    expected = f"Expected argument `lora` to be LoRA weights of a {type(pipeline).__name__}"
    names = [f"adapter_{place}" for place in range(len(adapters))]
    for name, path in zip(names, adapters, strict=True):
        try:
            with _strange_keys() as strange:
                pipeline.load_lora_weights(path, adapter_name=name, **hub)
        except Exception as error:  # of files, of formats, and of each version's way to the hub
            raise InputError(
                f"{expected}, but {path!r} does not load: {said(error)}. Give a file, a folder or "
                "a hub id."
            ) from error
        if all(name not in found for found in pipeline.get_list_adapters().values()):
            raise InputError(
                f"{expected}, but nothing in {path!r} belongs to it. Take weights of this family."
            )
        if strange:
            raise InputError(
                f"{expected}, but {path!r} belongs to it in part alone: it has no layer for "
                f"{strange[0]!r}. Take weights of this family."
            )
    pipeline.set_adapters(names, [float(weight) for weight in adapters.values()])
    every = list(pipeline._lora_loadable_modules)  # FLUX would forget its text encoder
    pipeline.fuse_lora(components=every, adapter_names=names)
    pipeline.unload_lora_weights()


@contextmanager
def _strange_keys() -> Iterator[list[str]]:
    """Weights for which a model has no layer, as the libraries say in their logs alone."""
    found: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            for names in STRANGE.findall(record.getMessage()):
                found.extend(filter(None, names))

    kept, loggers = Kept(), [logging.getLogger(name) for name in ("diffusers", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(min(logger.level, logging.WARNING))
        logger.addHandler(kept)
    try:
        yield found
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(kept)
            logger.setLevel(level)


def check_written(denoiser: Any) -> None:
    """Refuse to write LoRA weights that are not there, or that no pipeline would load.

    Args:
        denoiser: The model.

    Raises:
        InputError: If it has no LoRA layers, or its pipeline loads none.
    """
    if denoiser.lora is None:
        raise InputError(
            "Expected a denoiser with LoRA layers, but got one without. Train it with "
            "`DenoiserTraining(lora=LoRA())`."
        )
    pipeline_class: Any = getattr(denoiser, "pipeline_class", None)
    save = getattr(pipeline_class, "save_lora_weights", None)
    if save is None or _layers_argument(denoiser) not in inspect.signature(save).parameters:
        raise InputError(
            f"Expected a model whose pipeline loads LoRA weights, but got {type(denoiser).__name__}"
            ", for which diffusers loads none. Write the whole model, with the LoRA in its weights "
            "(`ExportDenoiser`)."
        )


def write_adapter(denoiser: Any, folder: str | Path) -> None:
    r"""Write the LoRA layers of a denoiser as a folder that diffusers loads.

    The scale :math:`\alpha / r` is multiplied into B, so that a reader that knows of no alpha reads
    the same.

    Args:
        denoiser: The model.
        folder: The folder, made if need be.

    Raises:
        InputError: If it has no LoRA layers, or its pipeline loads none.
    """
    check_written(denoiser)
    weights = {}
    for name, layer in layers_of(denoiser.network).items():
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        scaled = up.detach().float() * layer.scaling["default"]
        weights[f"{name}.lora_A.weight"] = down.detach().cpu().contiguous()
        weights[f"{name}.lora_B.weight"] = scaled.to(up.dtype).cpu().contiguous()
    denoiser.pipeline_class.save_lora_weights(folder, **{_layers_argument(denoiser): weights})


def _layers_argument(denoiser: Any) -> str:
    return f"{denoiser.components[0]}_lora_layers"
