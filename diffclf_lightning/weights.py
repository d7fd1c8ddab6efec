"""Short names for weights, and for what decides beside them what a network says."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from accelerate.utils import align_module_device
from torch import Tensor, nn

AT_ONCE = 2**22
"""Elements of a tensor that come to the CPU at once."""
ADDRESS = re.compile(r" at 0x\w+")
THREADS = 8
"""Not as many as torch uses: one is usual where several processes share a machine."""

SAYS_NOTHING = "transformers_version", "dtype", "torch_dtype", "train_text_encoder"
"""Entries of configurations that decide nothing which weights do not tell; and those with ``_``."""


def identity(module: nn.Module) -> dict[str, str]:
    """What decides what a module says: hashes of its ``weights`` and ``settings``.

    Args:
        module: The module.
    """
    return {"weights": checksum(module), "settings": settings(module)}


def settings(module: nn.Module) -> str:
    """A hash over what decides beside the weights what a module says.

    That is what it was made with (``chosen_options``), the configurations of the networks in it
    (heads of attention, norms, activations), and the scales of LoRA.

    Args:
        module: The module.

    Returns:
        Hexadecimal digits.
    """
    told: dict[str, Any] = {"": _plain(getattr(module, "chosen_options", {}))}
    for name, part in module.named_modules():
        config: Any = getattr(part, "config", None)
        config = config.to_dict() if hasattr(config, "to_dict") else config
        if isinstance(config, Mapping):
            told[f"{name}.config"] = _plain(config)
        if isinstance(scaling := getattr(part, "scaling", None), Mapping):
            told[f"{name}.scaling"] = _plain(scaling)
    text = json.dumps(told, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def layers(module: nn.Module) -> str:
    """A hash over the kind and the arguments of each layer, for a network without configuration.

    Args:
        module: The network.

    Returns:
        Hexadecimal digits.
    """
    told = [
        f"{name}: {type(part).__name__}({ADDRESS.sub('', part.extra_repr())})"
        for name, part in module.named_modules()
    ]
    return hashlib.blake2b("\n".join(told).encode(), digest_size=8).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        pairs = {str(name): _plain(one) for name, one in value.items()}
        return {k: v for k, v in pairs.items() if not k.startswith("_") and k not in SAYS_NOTHING}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | None) else type(value).__name__


@torch.inference_mode(mode=False)  # in which quantised weights cannot be read
def checksum(module: nn.Module) -> str:
    """A hash over all weights of a module: name, type, shape and bytes of each tensor.

    It is BLAKE2b, of which a core does about a gigabyte a second. All is read each time: torch does
    not tell of every change (through ``.data`` for instance), nor does the time of a file tell of a
    network that was edited since it was loaded, so that a kept hash could be wrong.

    Args:
        module: The module with the weights, wherever they lie: on a device, or parted with
            ``device_map``.

    Returns:
        Hexadecimal digits.
    """
    tensors = _tensors(module.state_dict())
    elsewhere = {name for name, tensor in tensors.items() if tensor.is_meta}
    with ThreadPoolExecutor(THREADS) as pool:
        found = _submit(pool, {n: one for n, one in tensors.items() if n not in elsewhere})
        digests = {name: future.result() for name, future in found.items()}
        for prefix, part in module.named_modules() if elsewhere else ():
            inside = f"{prefix}." if prefix else ""
            held = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
            own = {inside + name: name for name, _ in held}
            if not own.keys().isdisjoint(elsewhere):
                with align_module_device(part):  # weights that lie on a disk, or wait on the CPU
                    there = _tensors({key: getattr(part, name) for key, name in own.items()})
                    found = _submit(pool, {n: one for n, one in there.items() if n in elsewhere})
                    digests |= {name: future.result() for name, future in found.items()}
    whole = hashlib.blake2b(digest_size=8)
    for name in sorted(tensors):
        whole.update(f"{name}\0".encode() + digests[name])
    return whole.hexdigest()


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Plain tensors by name."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if hasattr(tensor, "__tensor_flatten__"):  # a quantised one is made of several
            parts, _ = tensor.__tensor_flatten__()
            found |= _tensors({f"{name}.{part}": getattr(tensor, part) for part in parts})
        elif isinstance(tensor, Tensor):
            found[name] = tensor.detach()
    return found


def _submit(pool: ThreadPoolExecutor, tensors: Mapping[str, Tensor]) -> dict[str, Future[bytes]]:
    return {name: pool.submit(_digest, tensor) for name, tensor in tensors.items()}


def _digest(tensor: Tensor) -> bytes:
    digest = hashlib.blake2b(f"{tensor.dtype} {tuple(tensor.shape)}".encode(), digest_size=16)
    for part in tensor.reshape(-1).split(AT_ONCE):
        digest.update(part.cpu().contiguous().view(torch.uint8).numpy())
    return digest.digest()
