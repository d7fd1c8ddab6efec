"""Seconds of a forward pass that is compiled, or in another memory format, over the plain one.

All variants of a network stand side by side and run in turn, so that a drift of the machine's speed
touches all. Answers are compared too, and the first pass, which compiles, is timed by itself.

    python benchmarks/compile.py                       # the embedded models and a larger U-Net
    python benchmarks/compile.py --model dit-xl        # DiT-XL/2-256, random weights, on a GPU
    python benchmarks/compile.py --model stable-diffusion    # the U-Net of SD 2, likewise
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from diffusers import DDIMScheduler, DiTTransformer2DModel, UNet2DConditionModel
from torch import Tensor, nn

from diffclf_lightning import AutoDenoiser
from diffclf_lightning.compiling import compile_network

TIMES = [Fraction(k, 250) for k in range(250)]
TOKENS = 77


@dataclass
class Inputs:
    """What one pass of a network takes."""

    x_t: Tensor
    timestep: Tensor
    told: dict[str, Tensor]

    def __call__(self, network: nn.Module) -> Tensor:
        """The network's output."""
        with torch.no_grad():
            output: Tensor = network(self.x_t, self.timestep, **self.told).sample
        return output


def embedded(name: str) -> tuple[nn.Module, Callable[[int], Inputs]]:
    """The network of an embedded model."""
    model = AutoDenoiser.from_pretrained(name)
    told = model.condition(range(10) if model.num_classes else [f"a {i}" for i in range(10)])

    def inputs(size: int) -> Inputs:
        rows = torch.arange(size)
        at = model.at(TIMES)[rows % len(TIMES)]
        x_t = torch.randn(size, *model.sample_shape)
        return Inputs(x_t, at.timestep, dict(told.rows(rows % 10)))

    return model.network, inputs


def unet(
    widths: tuple[int, ...], side: int, text: int
) -> tuple[nn.Module, Callable[[int], Inputs]]:
    """A text-conditioned U-Net with random weights, in the form of Stable Diffusion's."""
    levels = len(widths) - 1
    network = UNet2DConditionModel(
        sample_size=side,
        block_out_channels=widths,
        down_block_types=["CrossAttnDownBlock2D"] * levels + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * levels,
        cross_attention_dim=text,
        attention_head_dim=[max(1, width // 64) for width in widths],
        use_linear_projection=True,
    )

    def inputs(size: int) -> Inputs:
        states = torch.randn(size, TOKENS, text)
        x_t, timestep = torch.randn(size, 4, side, side), torch.arange(size) % 1000
        return Inputs(x_t, timestep, {"encoder_hidden_states": states})

    return network.eval(), inputs


def dit_xl() -> tuple[nn.Module, Callable[[int], Inputs]]:
    """DiT-XL/2 at 256 with random weights."""
    network = DiTTransformer2DModel(
        num_attention_heads=16,
        attention_head_dim=72,
        num_layers=28,
        in_channels=4,
        out_channels=8,
        sample_size=32,
        num_embeds_ada_norm=1000,
    )
    timesteps = DDIMScheduler(beta_schedule="linear").timesteps

    def inputs(size: int) -> Inputs:
        labels = {"class_labels": torch.arange(size) % 1000}
        return Inputs(torch.randn(size, 4, 32, 32), timesteps[torch.arange(size)], labels)

    return network.eval(), inputs


MODELS = {
    "digits": (lambda: embedded("diffclf/digits-dit"), 128),
    "digits-text": (lambda: embedded("diffclf/digits-text"), 32),
    "unet": (lambda: unet((64, 128, 128), side=32, text=128), 4),
    "dit-xl": (dit_xl, 128),
    "stable-diffusion": (lambda: unet((320, 640, 1280, 1280), side=64, text=1024), 32),
}
VARIANTS: dict[str, Callable[[nn.Module], object]] = {
    "compile": lambda network: compile_network(network, how=True),
    "compile, regional": lambda network: compile_network(network, {"regional": True}),
    "channels last": lambda network: network.to(memory_format=torch.channels_last),
}


def compare(
    network: nn.Module, inputs: Inputs, variants: list[str], repeats: int, device: torch.device
) -> None:
    """Print what each variant takes, over the plain network, median of ratios."""
    plain = inputs(network).float()
    made: dict[str, nn.Module] = {}
    for name in variants:
        other = copy.deepcopy(network)
        VARIANTS[name](other)
        start = time.perf_counter()
        inputs(other)
        first = time.perf_counter() - start
        change = float((inputs(other).float() - plain).abs().max() / plain.abs().max())
        print(f"  {name}: first pass {first:.1f} s, outputs differ by {change:.1e}", flush=True)
        made[name] = other
    times = {name: [] for name in ("plain", *made)}
    for _ in range(repeats):
        for name, one in {"plain": network, **made}.items():
            times[name].append(_seconds(lambda one=one: inputs(one), device))
    print(f"  plain: {statistics.median(times['plain']) * 1e3:.0f} ms")
    for name in made:
        ratios = [b / a for a, b in zip(times["plain"], times[name], strict=True)]
        print(
            f"  {name} / plain: median {statistics.median(ratios):.2f} "
            f"(min {min(ratios):.2f}, max {max(ratios):.2f}, {repeats} repeats)",
            flush=True,
        )


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    start = _clock(device)
    work()
    return _clock(device) - start


def _clock(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--variant", choices=VARIANTS, action="append")
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    for name in arguments.model or ["digits", "digits-text", "unet"]:
        make, size = MODELS[name]
        network, inputs = make()
        network = network.to(device)
        network = network if dtype == torch.float32 else network.to(dtype)
        made = inputs(size)
        told = {
            keyword: tensor.to(device, dtype if tensor.is_floating_point() else None)
            for keyword, tensor in made.told.items()
        }
        made = Inputs(made.x_t.to(device, dtype), made.timestep.to(device), told)
        convolutional = any(isinstance(module, nn.Conv2d) and module.kernel_size != module.stride
                            for module in network.modules())  # fmt: skip
        named = getattr(network, "_repeated_blocks", ())
        fit = {"compile": True, "compile, regional": bool(named), "channels last": convolutional}
        variants = [one for one in arguments.variant or VARIANTS if fit[one]]
        print(f"{name}: {size} evaluations, {dtype} on {device.type}", flush=True)
        compare(network, made, variants, arguments.repeats, device)


if __name__ == "__main__":
    main()
