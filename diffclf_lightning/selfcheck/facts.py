"""Facts: what the model is, and how fast; there is nothing to be right or wrong about."""

import time
from collections.abc import Mapping, Sequence

import torch

from diffclf_lightning.denoisers import Conditioning, PipelineDenoiser
from diffclf_lightning.evaluation import Noised, is_lack_of_memory
from diffclf_lightning.selfcheck.findings import Figure, Finding, Verdict
from diffclf_lightning.selfcheck.samples import Prompts

SIZES = (1, 4, 16, 64)
"""Evaluations of one forward pass."""
LONG = 5.0
"""Seconds of a pass after which no larger one is tried."""
REPEATS = 3


def describe(denoiser: PipelineDenoiser) -> Finding:
    """What the model is: family, size, what it predicts and takes."""
    network, weight = denoiser.network, next(denoiser.network.parameters())
    weights, every = (sum(p.numel() for p in m.parameters()) for m in (network, denoiser))
    schedule = denoiser.schedule.describe()
    limits: Mapping[str, int] = getattr(denoiser, "token_limits", {})
    takes = f"one of {denoiser.num_classes} classes"
    if denoiser.num_classes is None:
        takes = f"prompts of up to {' and '.join(map(str, limits.values()))} tokens"
    kind = str(weight.dtype).removeprefix("torch.")
    said = (
        f"{type(denoiser).__name__}, {type(network).__name__} of {weights / 1e6:,.4g} million "
        f"weights ({every / 1e6:,.4g} with encoders), {kind} on {weight.device}; "
        f"{schedule['schedule']}, {schedule['predicts']}; takes {takes}; "
        f"x_0 {_shape(denoiser.sample_shape)} of images {_shape(denoiser.image_shape)}"
    )
    figures: dict[str, Figure] = {
        "family": type(denoiser).__name__,
        "pipeline": denoiser.pipeline_class.__name__,
        "weights": weights,
        "weights_with_encoders": every,
        "dtype": kind,
        "device": str(weight.device),
        "sample_shape": denoiser.sample_shape,
        "image_shape": denoiser.image_shape,
        "token_limits": dict(limits),
        **schedule,
    }
    return Finding("model", Verdict.MEASURED, said, figures=figures)


@torch.no_grad()
def time_passes(denoiser: PipelineDenoiser, prompts: Prompts) -> Finding:
    """Seconds of forward passes of several sizes (medians of 3), of prompts, and memory."""
    device = denoiser.device
    start = time.perf_counter()
    denoiser.condition(prompts.conditions)
    _wait(device)
    prompt = (time.perf_counter() - start) / len(prompts.conditions)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    rates: dict[str, float] = {}
    for size in SIZES:
        x_0 = torch.zeros(size, *denoiser.sample_shape, device=device)
        at = denoiser.at(torch.full((size,), 0.5)).to(device)
        rows = prompts.told.rows(torch.arange(size, device=device) % len(prompts.names))
        try:
            seconds = _median_seconds(denoiser, Noised(x_0, x_0, at), rows)
        except RuntimeError as error:
            if not is_lack_of_memory(error):
                raise
            break
        rates[str(size)] = size / seconds
        if seconds > LONG:
            break
    said = "; ".join(f"{size} at once: {_rounded(rate)}" for size, rate in rates.items())
    said = f"evaluations a second, {said}; a prompt or class: {prompt:.2g} s"
    figures: dict[str, Figure] = {"evaluations_per_second": rates, "seconds_per_prompt": prompt}
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        figures["peak_bytes"] = peak
        said = f"{said}; memory at most {peak / 2**30:.1f} GiB"
    return Finding("speed", Verdict.MEASURED, said, figures=figures)


def _median_seconds(denoiser: PipelineDenoiser, noised: Noised, told: Conditioning) -> float:
    """Of some passes after a first, which is not counted unless it is long."""
    seconds: list[float] = []
    for repeat in range(REPEATS + 1):
        start = time.perf_counter()
        denoiser.predict(noised, told)
        _wait(denoiser.device)
        elapsed = time.perf_counter() - start
        if repeat or elapsed > LONG:
            seconds.append(elapsed)
        if elapsed > LONG:
            break
    return sorted(seconds)[len(seconds) // 2]


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize(device)


def _rounded(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
