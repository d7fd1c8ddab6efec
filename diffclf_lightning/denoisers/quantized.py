"""Quantised loading: what diffusers' ``PipelineQuantizationConfig`` says of each component."""

from collections.abc import Sequence
from typing import Any

from diffusers import PipelineQuantizationConfig
from diffusers.quantizers import auto as of_diffusers
from transformers.quantizers import auto as of_transformers

from diffclf_lightning.denoisers.wholeness import said
from diffclf_lightning.errors import InputError


def quantization(config: Any) -> Any:
    """A configuration of diffusers, or None.

    Args:
        config: A ``PipelineQuantizationConfig``, its arguments (``quant_backend``,
            ``quant_kwargs``, ``components_to_quantize``), or None.

    Raises:
        InputError: If diffusers does not take the arguments.
    """
    if config is None or isinstance(config, PipelineQuantizationConfig):
        return config
    try:
        return PipelineQuantizationConfig(**config)
    except (TypeError, ValueError, ImportError) as error:
        raise InputError(
            "Expected argument `quantization_config` to hold the arguments of diffusers' "
            f"PipelineQuantizationConfig, but got {config!r}: {said(error)}. Give for "
            "instance {quant_backend: bitsandbytes_4bit, quant_kwargs: {load_in_4bit: true}, "
            "components_to_quantize: [transformer]}."
        ) from error


def check_components(config: Any, names: Sequence[str]) -> None:
    """Refuse a configuration of components that are not loaded, which would change nothing.

    Args:
        config: That of the pipeline, or None.
        names: Names of the components that are loaded.

    Raises:
        InputError: If it names another.
    """
    named = () if config is None else config.quant_mapping or config.components_to_quantize or ()
    if unknown := sorted(set(named) - set(names)):
        raise InputError(
            "Expected argument `quantization_config` to name components of the pipeline "
            f"({', '.join(names)}), but got {unknown[0]!r}."
        )


def of_component(config: Any, name: str, *, diffusers: bool) -> Any:
    """The configuration of a component, or None where it is loaded as it is.

    Args:
        config: That of the pipeline, or None.
        name: The component's.
        diffusers: Whether it is a model of diffusers, and not of transformers.

    Raises:
        InputError: If its backend is not installed.
    """
    if config is None:
        return None
    if config.quant_mapping is not None:
        return config.quant_mapping.get(name)
    if config.components_to_quantize and name not in config.components_to_quantize:
        return None
    known = of_diffusers if diffusers else of_transformers
    try:
        return known.AUTO_QUANTIZATION_CONFIG_MAPPING[config.quant_backend](**config.quant_kwargs)
    except ImportError as error:
        raise InputError(
            f"Expected the package of `quantization_config`'s backend {config.quant_backend!r}, "
            f"but it is not installed: {said(error)}. Install it."
        ) from error
