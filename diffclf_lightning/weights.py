"""A short name for weights."""

import hashlib

import torch
from accelerate.utils import align_module_device
from torch import Tensor, nn


def checksum(module: nn.Module) -> str:
    """A hash over a thousand elements of each tensor of a module.

    Args:
        module: The module with the weights.

    Returns:
        Hexadecimal digits.
    """
    digest = hashlib.sha256()
    samples = {name: _sample(tensor) for name, tensor in module.state_dict().items()}
    for prefix, part in module.named_modules():
        own = {f"{prefix}.{name}": name for name, _ in part.named_parameters(recurse=False)}
        if any(samples[key].is_meta for key in own if key in samples):
            with align_module_device(part):  # weights that lie on a disk, or wait on the CPU
                samples |= {key: _sample(getattr(part, name)) for key, name in own.items()}
    for name, sample in sorted(samples.items()):
        digest.update(name.encode() + sample.to("cpu", torch.float32).numpy().tobytes())
    return digest.hexdigest()[:16]


def _sample(tensor: Tensor) -> Tensor:
    flat = tensor.detach().flatten()
    return flat[:: max(1, len(flat) // 1000)].clone()
