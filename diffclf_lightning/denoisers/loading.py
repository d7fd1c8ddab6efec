"""Components of a diffusers pipeline, each loaded whole by its own library, or an error.

``model_index.json`` names the library and the class of every component, and the folder of the same
name holds it. What is not asked for is neither downloaded nor loaded.
"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline, ModelMixin
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from diffclf_lightning.denoisers.edm2_network import EDM2UNet
from diffclf_lightning.denoisers.original_dit import OriginalDiT
from diffclf_lightning.denoisers.quantized import check_components, of_component
from diffclf_lightning.denoisers.wholeness import (
    FETCH,
    check_reader,
    check_tokenizer_files,
    check_vocabulary,
    check_weights,
    damage,
    said,
    unusable,
    variants,
)
from diffclf_lightning.errors import InputError

UNUSED = frozenset({"safety_checker", "feature_extractor", "image_encoder", "watermarker"})
"""Components of pipelines that predict no noise: left where they are."""

OWN = {"EDM2UNet": EDM2UNet, "OriginalDiT": OriginalDiT}
"""Networks of this package that may stand in an index, as classes of ``diffclf_lightning``."""
LOOKING = "transformers.models.auto."
"""Where transformers has classes that look in a folder for the class which it needs."""


def read_index(path: str | Path, **hub: Any) -> dict[str, Any]:
    """Content of ``model_index.json``: components, as ``[library, class]``, and other entries.

    Args:
        path: Pipeline folder or hub id.
        **hub: Passed to diffusers for a hub id: ``revision``, ``cache_dir``, ``local_files_only``.

    Raises:
        InputError: If there is no such pipeline.
    """
    if Path(path).is_file():
        raise unusable(
            path,
            "it is one file, and no folder. Name the pipeline's folder",
        )
    if not Path(path).is_dir():
        try:
            loaded: dict[str, Any] = DiffusionPipeline.load_config(str(path), **hub)
        except (OSError, ValueError) as error:
            raise unusable(
                path, f"it is no folder, and the hub gave no pipeline of that id: {said(error)}"
            ) from error
        return loaded
    try:
        index = json.loads((Path(path) / "model_index.json").read_text())
    except OSError as error:
        raise unusable(path, "it has no model_index.json") from error
    except ValueError as error:
        raise unusable(path, f"its model_index.json is no JSON ({error})") from error
    if not isinstance(index, dict):
        raise unusable(path, "its model_index.json is no JSON object")
    return index


def load_components(
    pipeline_class: type[DiffusionPipeline],
    names: Sequence[str],
    path: str | Path,
    *,
    left_out: Sequence[str] = (),
    torch_dtype: torch.dtype,
    variant: str | None,
    quantized: Any = None,
    placed: Mapping[str, Any] | None = None,
    **hub: Any,
) -> dict[str, Any]:
    """Load what a family needs of a pipeline, and nothing else: components by name, in order.

    By the rules of ``pipeline_class`` files are fetched from the hub. ``names`` are components, and
    entries of the index that are none, ``id2label`` for instance; those that end in ``?`` may be
    absent, and are None then; those of them that are ``left_out`` are not among the result.
    Components that have the ``variant`` come in it, and ``quantized`` where that says so; those
    in ``placed`` are loaded with a device map. ``path`` and ``hub`` are those of
    :func:`read_index`.

    Raises:
        InputError: If one is missing, damaged or not whole, or the pipeline has components that
            the family does not know, or cannot do without.
    """
    left_out = [left_out] if isinstance(left_out, str) else left_out
    _check_left_out(names, left_out)
    index = read_index(path, **hub)
    components = {name: entry for name, entry in index.items() if is_component(entry)}
    for name in names:
        if not name.endswith("?") and name not in components:
            raise unusable(
                path, f"its model_index.json names no `{name}`. Take a pipeline that has one"
            )
    wanted = [name.rstrip("?") for name in names if name.rstrip("?") not in left_out]
    others = components.keys() - wanted
    if unknown := sorted(others - UNUSED - set(left_out)):
        raise unusable(
            path,
            f"it has `{unknown[0]}`, which {pipeline_class.__name__} does not take. "
            "Models of that form are not supported",
        )
    check_components(quantized, [name for name in wanted if name in components])
    folder = Path(path)
    if not folder.is_dir():
        leave_out: dict[str, Any] = dict.fromkeys(others)
        try:
            fetched = pipeline_class.download(str(path), variant=variant, **leave_out, **hub)
        except (OSError, ValueError) as error:
            raise unusable(path, f"the hub did not give it: {said(error)}") from error
        folder = Path(fetched)
    found = sorted(set().union(*(variants(folder / name) for name in wanted)))
    if variant is not None and variant not in found:
        raise InputError(
            f"Expected argument `variant` to be a variant that {str(path)!r} has "
            f"({', '.join(found) or 'it has none'}), but got {variant!r}. Leave it out for the "
            "plain weights."
        )
    plain = {name: entry for name, entry in index.items() if not isinstance(entry, list)}
    if strange := [name for name in wanted if isinstance(plain.get(name), str)]:
        raise unusable(path, f"its model_index.json has no library and class of {strange[0]!r}")
    return {
        name: load_component(
            path,
            folder / name,
            components[name],
            torch_dtype,
            variant,
            quantized,
            (placed or {}).get(name),
        )
        if name in components
        else plain.get(name)
        for name in wanted
    }


def _check_left_out(names: Sequence[str], left_out: Sequence[str]) -> None:
    optional = [name.rstrip("?") for name in names if name.endswith("?")]
    if unknown := sorted(set(left_out) - set(optional)):
        raise InputError(
            f"Expected argument `leave_out` to name components that may be absent "
            f"({', '.join(optional)}), but got {unknown[0]!r}."
        )
    for name in left_out:
        read = name.replace("text_encoder", "tokenizer")
        spoken = name.replace("tokenizer", "text_encoder")
        if not {read, spoken} <= set(left_out):
            raise InputError(
                f"Expected argument `leave_out` to name a text encoder with its tokenizer, but got "
                f"{name!r} alone. Give [{spoken}, {read}]."
            )


def is_component(entry: Any) -> TypeGuard[list[str]]:
    """Whether an entry of the index is ``[library, class]``, and not ``[null, null]``."""
    return isinstance(entry, list) and len(entry) == 2 and None not in entry


def load_component(
    path: str | Path,
    folder: Path,
    entry: Sequence[str],
    dtype: torch.dtype,
    variant: str | None = None,
    quantized: Any = None,
    device_map: Any = None,
) -> Any:
    """Load one component, whole.

    Args:
        path: The pipeline, for messages.
        folder: Folder of the component.
        entry: What the index says of it: its library and class.
        dtype: Type of the weights.
        variant: Variant of the weights' files, taken where the component has it.
        quantized: What is loaded quantised.
        device_map: Where a model's layers are put, as diffusers takes it, or None.

    Raises:
        InputError: If it is missing, damaged or not whole.
    """
    if not folder.is_dir():
        raise unusable(path, f"it has no folder `{folder.name}`. {FETCH}")
    kind = component_class(path, *entry)
    options: dict[str, Any] = {}
    disk = None
    if issubclass(kind, ModelMixin | PreTrainedModel):
        typed = "torch_dtype" if issubclass(kind, ModelMixin) else "dtype"
        options = {typed: dtype, "output_loading_info": True}
        options["ignore_mismatched_sizes"] = issubclass(kind, PreTrainedModel)
        if variant in variants(folder):
            options["variant"] = variant
        own = of_component(quantized, folder.name, diffusers=issubclass(kind, ModelMixin))
        if own is not None:
            options["quantization_config"] = own
        if device_map is not None:
            disk = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            options |= {"device_map": device_map, "offload_folder": disk.name}
        if not (folder / "config.json").is_file():  # transformers would take its defaults
            raise unusable(path, f"its {folder.name}/config.json is missing. {FETCH}")
    if issubclass(kind, PreTrainedTokenizerBase):
        check_tokenizer_files(path, folder, kind)
        check_reader(folder)
    if not sys.stderr.isatty():  # their bars are no use in a file
        transformers.utils.logging.disable_progress_bar()
    try:
        loaded = kind.from_pretrained(str(folder), **options, **without_code(kind))
    except Exception as error:  # the libraries have no error of their own for damaged files
        known = damage(folder, variant)
        if device_map is not None and known is None:
            raise InputError(
                f"Expected argument `device_map` to be one by which diffusers places the "
                f"{folder.name}, but got {device_map!r}: {said(error)}."
            ) from error
        remedy = "Install what it needs" if isinstance(error, ImportError) else FETCH
        unknown = f"its {folder.name} does not load: {said(error)}. {remedy}"
        raise unusable(path, known or unknown) from error
    if options:
        loaded, information = loaded
        if disk is not None:
            loaded.offloaded_to = disk  # it goes when the model does
        check_weights(path, folder.name, loaded, information)
    if isinstance(loaded, PreTrainedTokenizerBase):
        check_vocabulary(path, folder.name, loaded)
    return loaded


def without_code(kind: type) -> dict[str, Any]:
    """Arguments by which a class that looks for another runs no code that lies beside weights."""
    return {"trust_remote_code": False} if kind.__module__.startswith(LOOKING) else {}


def component_class(path: str | Path, library: str, name: str) -> Any:
    """The class of a component; ``library`` and ``name`` are its entry in the index of ``path``.

    Raises:
        InputError: If the libraries have none of that name.
    """
    kind: Any = None
    if library == __name__.partition(".")[0]:
        kind = OWN.get(name)
    elif isinstance(library, str) and isinstance(name, str):
        own = {"diffusers": diffusers, "transformers": transformers}
        kind = getattr(own.get(library) or getattr(diffusers.pipelines, library, None), name, None)
    loads = isinstance(kind, type) and hasattr(kind, "from_pretrained")
    if not loads or issubclass(kind, DiffusionPipeline):
        raise unusable(
            path,
            f"its model_index.json names {name!r} of {library!r}, which this package, diffusers "
            f"{diffusers.__version__} and transformers {transformers.__version__} do not have. "
            "Install versions that do",
        )
    return kind
