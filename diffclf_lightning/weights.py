"""A short name for weights."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from accelerate.utils import align_module_device
from torch import Tensor, nn


@torch.inference_mode(mode=False)  # in which quantised weights cannot be read
def checksum(module: nn.Module) -> str:
    """A hash over a thousand elements of each tensor of a module.

    Args:
        module: The module with the weights.

    Returns:
        Hexadecimal digits.
    """
    digest = hashlib.sha256()
    samples = _samples(module.state_dict())
    for prefix, part in module.named_modules():
        own = {f"{prefix}.{name}": name for name, _ in part.named_parameters(recurse=False)}
        if any(samples[key].is_meta for key in own if key in samples):
            with align_module_device(part):  # weights that lie on a disk, or wait on the CPU
                samples |= _samples({key: getattr(part, name) for key, name in own.items()})
    for name, sample in sorted(samples.items()):
        digest.update(name.encode() + sample.to("cpu", torch.float32).numpy().tobytes())
    return digest.hexdigest()[:16]


def _samples(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if hasattr(tensor, "__tensor_flatten__"):  # a quantised one is made of several
            parts, _ = tensor.__tensor_flatten__()
            found |= _samples({f"{name}.{part}": getattr(tensor, part) for part in parts})
        else:
            flat = tensor.detach().flatten()
            found[name] = flat[:: max(1, len(flat) // 1000)].clone()
    return found
