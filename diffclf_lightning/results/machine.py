"""What a run was measured on: it explains its seconds and decides no result."""

import platform
from pathlib import Path
from typing import Any

import torch

PROCESSORS = Path("/proc/cpuinfo")


def machine(device: torch.device, devices: int, version: str) -> dict[str, Any]:
    """What a run is measured on.

    Args:
        device: One of its devices.
        devices: Number of its devices, over all nodes.
        version: Of this package.

    Returns:
        Plain values: ``device``, ``devices``, and the versions of this package and of torch.
    """
    return {
        "device": device_name(device),
        "devices": devices,
        "version": version,
        "torch": torch.__version__,
    }


def device_name(device: torch.device) -> str:
    """The maker's name of a device, and with a CPU the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"
    return f"{device.type} of {_processor()}"


def _processor() -> str:
    lines = PROCESSORS.read_text().splitlines() if PROCESSORS.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
