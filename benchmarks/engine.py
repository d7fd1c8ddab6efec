"""Wall time of the engine over the bare forward passes, as a ratio.

The bare loop runs the same number of forward passes of the same batch size on inputs that lie
ready; the engine makes its own inputs (indices, noise, x_t), computes errors, prunes and fills the
table. Both run in turn, so that a drift of the machine's speed touches both.

    python benchmarks/engine.py                  # the embedded model, and a larger one, on a CPU
    python benchmarks/engine.py --model dit-xl   # DiT-XL/2-256 with random weights, on a GPU
"""

import argparse
import statistics

import torch
from diffusers import DDIMScheduler, DiTTransformer2DModel
from timing import matmul_rate, wall_time

from diffclf_lightning import AutoDenoiser, GoldenGrid, Staged, Strategy, evaluate
from diffclf_lightning.denoisers import Denoiser, DiTDenoiser
from diffclf_lightning.evaluation import NoiseBank, Noised, ScoreTable, TrialSource, get_losses

GFLOP_DIT_XL_256 = 237  # of one evaluation, 2 per multiply-add


def digits() -> Denoiser:
    """The embedded model."""
    return AutoDenoiser.from_pretrained("diffclf/digits-dit")


def medium() -> Denoiser:
    """A transformer whose forward pass of 64 evaluations takes well over 50 ms on two cores."""
    return _random_dit(layers=6, heads=6, width=64, size=16)


def dit_xl() -> Denoiser:
    """DiT-XL/2 at 256 with random weights."""
    return _random_dit(layers=28, heads=16, width=72, size=32)


def _random_dit(*, layers: int, heads: int, width: int, size: int) -> Denoiser:
    network = DiTTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=width,
        num_layers=layers,
        in_channels=4,
        out_channels=8,
        sample_size=size,
        num_embeds_ada_norm=1000,
    )
    return DiTDenoiser(network, DDIMScheduler(beta_schedule="linear")).eval()


class OneAfterAnother(Strategy):
    """Two more trials for all candidates in each round; image ``i`` is decided after ``i % 6 + 1``.

    So late rounds have work of few images, as those of a race have.
    """

    rounds = 6
    stages = tuple(range(2, 2 * rounds + 1, 2))
    ends = stages

    def further(self, table: ScoreTable) -> torch.Tensor:
        """Trials to add."""
        last = 2 * (torch.arange(len(table.counts), device=table.counts.device) % self.rounds + 1)
        return 2 * (table.counts < last[:, None])

    def finalists(self, table: ScoreTable) -> torch.Tensor:
        """All."""
        return table.allowed

    def evaluations(self, num_candidates: int) -> int:
        """Of the image that takes the most."""
        return self.stages[-1] * num_candidates


STRATEGIES = {"staged": Staged(trials=(4, 12), keep=(3, 1)), "one after another": OneAfterAnother()}


def compare(
    model: Denoiser, device: torch.device, images: int, batch: int, repeats: int, strategy: Strategy
) -> None:
    """Print the ratio of the engine to the bare passes, median over repeats."""
    candidates = 10
    conditioning = model.condition(range(candidates))
    x_0 = torch.randn(images, *model.sample_shape, device=device)
    source = TrialSource(GoldenGrid(), NoiseBank(), strategy.stages, model.sample_shape)
    trials, bound = source(x_0), strategy.bind(candidates, source.ends)
    sizes: list[int] = []

    def engine() -> None:
        evaluate(model, x_0, conditioning, trials, bound, get_losses(["l2"]),
                 evaluations_per_batch=batch, on_progress=sizes.append)  # fmt: skip

    engine()
    shapes = list(sizes)
    timesteps = model.at(source.times).to(device)
    inputs = [
        (Noised(torch.randn(n, *model.sample_shape, device=device),
                torch.randn(n, *model.sample_shape, device=device),
                timesteps[torch.randint(len(timesteps), (n,), device=device)]),
         conditioning.rows(torch.randint(candidates, (n,), device=device)))
        for n in shapes
    ]  # fmt: skip
    for noised, _ in inputs:
        noised.x_t  # noqa: B018  made beforehand: the engine has to make it

    def bare() -> None:
        with torch.no_grad():
            for noised, told in inputs:
                model.predict(noised, told)

    pairs = [(wall_time(bare, device), wall_time(engine, device)) for _ in range(repeats)]
    ratios = sorted(engine / bare for bare, engine in pairs)
    seconds = statistics.median(bare for bare, _ in pairs)
    rate = sum(shapes) / seconds
    print(
        f"  {len(shapes)} passes of up to {batch} evaluations, "
        f"{seconds / len(shapes) * 1e3:.0f} ms each"
    )
    print(
        f"  engine / bare: median {statistics.median(ratios):.3f} "
        f"(min {ratios[0]:.3f}, max {ratios[-1]:.3f}, {repeats} repeats)"
    )
    if device.type == "cuda":
        peak = matmul_rate(device)
        share = rate * GFLOP_DIT_XL_256 * 1e9 / peak
        print(
            f"  {torch.cuda.get_device_name()}: {rate:.0f} evaluations/s bare, {share:.0%} of the"
        )
        print(f"  rate of a 8192 x 8192 x 8192 bf16 product ({peak / 1e12:.0f} TFLOP/s)")


def main() -> None:
    """Run the comparison."""
    models = {"digits": (digits, 40, 512), "medium": (medium, 8, 64), "dit-xl": (dit_xl, 64, 256)}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=models, action="append")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in arguments.model or ["digits", "medium"]:
        make, images, batch = models[name]
        model = make().to(device)
        dtype = torch.bfloat16 if name == "dit-xl" else torch.float32
        for title, strategy in STRATEGIES.items():
            threads = torch.get_num_threads()
            print(f"{name}, {title}: {dtype} on {device.type}, {threads} threads", flush=True)
            compare(model.to(dtype), device, images, batch, arguments.repeats, strategy)


if __name__ == "__main__":
    main()
