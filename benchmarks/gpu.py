"""DiT-XL/2 at 256 and the U-Net of Stable Diffusion 2 on a GPU: speed of passes, and of a race.

    python benchmarks/gpu.py           # some 5 minutes on a GPU with 24 GB
    python benchmarks/gpu.py --tiny    # the same steps on a CPU, by networks of few weights

Weights are random, in bf16. Of passes it says how many evaluations a second they make, compiled and
not, at the size that is found by trial, and which share that is of the FLOP/s of a large matrix
product; FLOP are those that torch counts. Then staged pruning (the paper's for a hundred classes)
and a race, in seconds, on synthetic latents. Random weights tell no class from another: each
pass of the network is made and paid for, and what it says is replaced by what the best denoiser of
one Gaussian a class says. These are not compiled, since their passes are of many sizes.
"""

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from diffusers import DDIMScheduler, DiTTransformer2DModel, UNet2DConditionModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from timing import matmul_rate, wall_time
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from diffclf_lightning import Conditioning, Denoiser, Racing, Staged, Strategy, evaluate
from diffclf_lightning.denoisers import DiTDenoiser, StableDiffusion
from diffclf_lightning.denoisers.scratch import word_tokenizer
from diffclf_lightning.evaluation import (
    NoiseBank,
    Noised,
    NoiseTarget,
    Prediction,
    Timesteps,
    TrialSource,
    find_evaluations_per_batch,
    get_losses,
)

DIT_XL: dict[str, Any] = {
    "num_layers": 28, "num_attention_heads": 16, "attention_head_dim": 72, "sample_size": 32,
    "patch_size": 2, "in_channels": 4, "out_channels": 8, "num_embeds_ada_norm": 1000,
}  # fmt: skip
"""As ``facebook/DiT-XL-2-256`` publishes them."""
SD_2: dict[str, Any] = {
    "sample_size": 64, "in_channels": 4, "out_channels": 4, "cross_attention_dim": 1024,
    "block_out_channels": (320, 640, 1280, 1280), "attention_head_dim": (5, 10, 20, 20),
    "layers_per_block": 2, "use_linear_projection": True,
}  # fmt: skip
"""As ``stabilityai/stable-diffusion-2-base`` publishes them; the rest are defaults of diffusers."""
TINY_DIT = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 8, "sample_size": 8}
TINY_UNET = {
    "sample_size": 8, "block_out_channels": (8, 8), "attention_head_dim": (1, 2),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1, "cross_attention_dim": 16, "norm_num_groups": 4,
}  # fmt: skip
TOKENS = 77
STAGED = Staged(trials=(20, 50, 100, 500), keep=(20, 10, 5, 1))
TINY_STAGED = Staged(trials=(2, 5), keep=(3, 1))
APART = 3.5
"""Length of the Gaussians' means, in their standard deviation."""


def dit(**changes: Any) -> Denoiser:
    """DiT-XL/2 at 256, or with other sizes."""
    network = DiTTransformer2DModel(**DIT_XL | changes)
    return DiTDenoiser(network, DDIMScheduler(beta_schedule="linear")).eval()


def stable_diffusion(**changes: Any) -> Denoiser:
    """The U-Net of Stable Diffusion 2, or with other sizes, and a small text encoder."""
    network = UNet2DConditionModel(**SD_2 | changes)
    tokenizer = word_tokenizer(["class", *map(str, range(100))], TOKENS)
    width = network.config.cross_attention_dim
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=width,
        num_hidden_layers=1, num_attention_heads=4, max_position_embeddings=TOKENS,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    return StableDiffusion(network, scheduler, CLIPTextModel(text), tokenizer).eval()


def conditions(model: Denoiser, classes: int) -> Conditioning:
    """What a network is told of so many classes."""
    if model.num_classes is None:
        return model.condition([f"class {index}" for index in range(classes)])
    return model.condition(range(classes))


class Paid:
    r"""The best denoiser of a Gaussian a class, at the price of a network.

    Of :math:`x_0 | c \sim N(\mu_c, I)` it says the noise :math:`\sigma (x_t - \alpha \mu_c)`, since
    :math:`\alpha^2 + \sigma^2 = 1` (:class:`GaussianDenoiser` has the general formula, which asks
    the device for its times in every pass).

    Args:
        network: Makes a pass for each of its own, and is not asked what it says.
        means: Of the classes, shape ``(classes, channels, height, width)``.
    """

    def __init__(self, network: Denoiser, means: Tensor) -> None:
        self.network, self.means = network, means

    def told(self) -> Conditioning:
        """Conditioning of the network, and the class for the Gaussian."""
        classes = torch.arange(len(self.means), device=self.means.device)
        return Conditioning({**conditions(self.network, len(classes)), "gaussian": classes})

    def at(self, times: Sequence[Fraction]) -> Timesteps:
        """See :meth:`Denoiser.at`."""
        return self.network.at(times)

    def predict(self, noised: Noised, conditioning: Mapping[str, Tensor]) -> Prediction:
        """See :meth:`Denoiser.predict`."""
        network = {word: rows for word, rows in conditioning.items() if word != "gaussian"}
        self.network.predict(noised, network)
        mean = self.means[conditioning["gaussian"]]
        return Prediction(noised, noised.sigma * (noised.x_t - noised.alpha * mean), NoiseTarget())


def passes(model: Denoiser) -> Callable[[int], object]:
    """Forward passes of any size, on one input."""
    device, told = model.device, conditions(model, 1)
    timestep = model.at([Fraction(1, 2)]).timestep.to(device)
    x_t = torch.randn(1, *model.sample_shape, device=device)

    def forward(size: int) -> object:
        rows = told.rows(torch.zeros(size, dtype=torch.int64, device=device))
        with torch.no_grad():
            return model(x_t.repeat(size, 1, 1, 1), timestep.repeat(size), rows)

    return forward


def flop(model: Denoiser) -> int:
    """Of one evaluation, 2 a multiply-add."""
    with FlopCounterMode(display=False) as counter:
        passes(model)(1)
    return int(counter.get_total_flops())


def rate(model: Denoiser, size: int, repeats: int) -> float:
    """Evaluations a second by passes of one size, median over repeats after two."""
    forward = passes(model)
    for _ in range(2):
        forward(size)
    times = [wall_time(lambda: forward(size), model.device) for _ in range(repeats)]
    return size / statistics.median(times)


@dataclass(frozen=True)
class Decided:
    """What a strategy made of some images.

    Args:
        evaluations: Of an image, in the mean.
        seconds: Of an image, in the mean.
        right: Share of right answers.
    """

    evaluations: float
    seconds: float
    right: float


def decide(model: Denoiser, strategy: Strategy, classes: int, images: int, size: int) -> Decided:
    """Synthetic latents by a strategy, in passes of at most a size."""
    generator, device = torch.Generator().manual_seed(0), model.device
    means = torch.randn(classes, *model.sample_shape, generator=generator)
    means *= APART / means[0].numel() ** 0.5
    labels = torch.arange(images) % classes
    x_0 = means[labels] + torch.randn(images, *model.sample_shape, generator=generator)
    x_0, paid = x_0.to(device), Paid(model, means.to(device))
    source = TrialSource(strategy.grid, NoiseBank(), strategy.stages, model.sample_shape)
    told, bound, trials = paid.told(), strategy.bind(classes, source.ends), source(x_0)
    tables = []

    def work() -> None:
        tables.append(
            evaluate(paid, x_0, told, trials, bound, get_losses(["l2"]), evaluations_per_batch=size)
        )

    seconds = wall_time(work, device)
    right = (tables[0]["l2"].best.cpu() == labels).double().mean()
    evaluations = tables[0].evaluations.double().mean()
    return Decided(float(evaluations), seconds / images, float(right))


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="small networks, on a CPU")
    parser.add_argument("--images", type=int, default=8, help="of the races")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        parser.error("no GPU is at hand; --tiny runs the same steps on a CPU")
    device = torch.device("cpu" if options.tiny else "cuda")
    backend = {"backend": "eager"} if options.tiny else {}
    sizes = (TINY_DIT, TINY_UNET) if options.tiny else ({}, {})
    staged, classes = (TINY_STAGED, 6) if options.tiny else (STAGED, 100)
    named = {"DiT-XL/2 at 256": (dit, sizes[0]), "Stable Diffusion 2": (stable_diffusion, sizes[1])}
    peak = matmul_rate(device, 64 if options.tiny else 8192)
    chip = "a CPU, tiny networks" if options.tiny else torch.cuda.get_device_name()
    speed = Table(
        title=f"{chip}: a bf16 product at {peak / 1e12:.3g} TFLOP/s",
        title_justify="left", box=SIMPLE_HEAD,
    )  # fmt: skip
    for heading in ("network", "GFLOP", "", "in a pass", "evaluations/s", "share of the product"):
        speed.add_column(heading)
    race = Table(title=f"{classes} Gaussian classes, {options.images} images, eager",
                 title_justify="left", box=SIMPLE_HEAD)  # fmt: skip
    for heading in ("network", "strategy", "evaluations", "seconds an image", "right"):
        race.add_column(heading)
    for name, (make, changes) in named.items():
        model = make(**changes).to(device, torch.bfloat16)
        each, largest = flop(model), 8 if options.tiny else 1024
        size = find_evaluations_per_batch(passes(model), largest=largest, device=device)
        for strategy in (staged, Racing(max_trials=staged.stages[-1])):
            found = decide(model, strategy, classes, options.images, size)
            race.add_row(
                name, repr(strategy), f"{found.evaluations:,.0f}", f"{found.seconds:.2f}",
                f"{found.right:.0%}",
            )  # fmt: skip
        for kind in ("eager", "compiled"):
            if kind == "compiled":
                model.compile(**backend)
            speed_of = rate(model, size, options.repeats)
            share = f"{speed_of * each / peak:.0%}"
            speed.add_row(name, f"{each / 1e9:.4g}", kind, str(size), f"{speed_of:,.0f}", share)
    console = Console(width=140, highlight=False)
    console.print(speed)
    console.print(race)


if __name__ == "__main__":
    main()
