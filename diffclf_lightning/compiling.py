"""torch.compile where the forward passes go: the network of a denoiser, and not what wraps it.

A module that :func:`torch.compile` wraps is only compiled where its own ``forward`` is called. The
engine calls other methods, so that what was asked of a classifier or a denoiser is applied to the
network instead.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from diffclf_lightning.errors import InputError

Compile = bool | Mapping[str, Any]
"""Whether to compile, or how: options of :func:`torch.compile`, and ``regional``: whether only the
blocks that the network repeats are compiled, each kind once."""


def compile_network(network: nn.Module, how: Compile) -> None:
    """Compile a network in place; the first batches, which compile, are slow.

    Args:
        network: The network.
        how: Whether, or options of :func:`torch.compile` and ``regional``.

    Raises:
        InputError: If these are none, or the network has no blocks to compile alone.
    """
    if not isinstance(how, bool | Mapping):
        raise InputError(
            "Expected argument `compile` to be true, false or options of torch.compile, but got "
            f"{how!r}."
        )
    if how is False:
        return
    options = {} if how is True else dict(how)
    compiled = _blocks(network) if options.pop("regional", False) else [network]
    try:
        for module in compiled:
            module.compile(**options)
    except (TypeError, RuntimeError) as error:
        raise InputError(
            f"Expected argument `compile` to be options of torch.compile, but got {dict(options)} "
            f"({type(error).__name__}: {error})."
        ) from error


def _blocks(network: nn.Module) -> list[nn.Module]:
    """The repeated blocks that diffusers names (:meth:`ModelMixin.compile_repeated_blocks`)."""
    names = getattr(network, "_repeated_blocks", None) or ()
    blocks = [module for module in network.modules() if type(module).__name__ in names]
    if not blocks:
        raise InputError(
            "Expected argument `compile` without `regional`, since diffusers names no repeated "
            f"blocks of a {type(network).__name__}; it does of UNet2DConditionModel (Stable "
            "Diffusion). Give true."
        )
    return blocks


def is_compiled(network: nn.Module) -> bool:
    """Whether a network, or a part of it, is compiled."""
    return any(module._compiled_call_impl is not None for module in network.modules())


def unwrapped(module: nn.Module) -> tuple[nn.Module, Callable[[Any], Any] | None]:
    """A module without the wrapper of :func:`torch.compile`, and what that would compile with."""
    if isinstance(module, torch._dynamo.OptimizedModule):
        return module._orig_mod, module.dynamo_ctx
    if not hasattr(module, "calibration"):
        raise InputError(
            f"Expected argument `denoiser` to be a denoiser, but got {module!r:.100}. "
            "AutoDenoiser.from_pretrained makes one of a name or a folder."
        )
    return module, None


def compile_with(network: nn.Module, context: Callable[[Any], Any] | None) -> None:
    """Compile a network in place as a wrapper would have compiled something else.

    Args:
        network: The network.
        context: What :func:`unwrapped` gave.
    """
    if context is not None:
        network._compiled_call_impl = context(network._call_impl)


@contextmanager
def eager() -> Iterator[None]:
    """Nothing is compiled inside, for passes of other shapes than those of the engine."""
    with torch.compiler.set_stance("force_eager"):
        yield
