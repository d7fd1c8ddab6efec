"""The engine beside a plain loop of Algorithm 2: the same answers, in how many seconds.

The loop takes one image after another, and batches of up to 32 evaluations (Li et al., ICCV 2023,
Algorithm 2): it calls the diffusers network itself and knows nothing of this package. Both get the
same images, weights, times and noise of each trial, and have to give the same answers. A race is
third, with its own times: its answers are counted where they differ.

They run in turn, so that a drift of the machine's speed touches all, and ratios are of one turn
each. Time is that of the processor: wall time for one thread that has a core to itself.

    python benchmarks/sequential.py
"""

import argparse
import statistics
import time
from collections.abc import Callable
from operator import eq, ne
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from diffclf_lightning import AutoDenoiser, Racing, Staged, Strategy, evaluate
from diffclf_lightning.datamodules import Digits
from diffclf_lightning.denoisers import Denoiser
from diffclf_lightning.evaluation import NoiseBank, Trials, TrialSource, get_losses

TRIALS, KEEP = (4, 12, 50), (4, 2, 1)
CLASSES, BATCH, EVALUATIONS_PER_BATCH = 10, 32, 512

Answers = tuple[list[int], int]
"""Class of each image, and the evaluations of all together."""


@torch.no_grad()
def sequential(
    network: nn.Module, alphas_cumprod: Tensor, x_0: Tensor, steps: Tensor, noise: Tensor
) -> Answers:
    """Algorithm 2, one image at a time.

    Args:
        network: The diffusers network.
        alphas_cumprod: Of its scheduler, by timestep.
        x_0: Images, shape ``(images, channels, height, width)``.
        steps: Timestep of each trial.
        noise: Noise of each trial, shape ``(trials, channels, height, width)``.

    Returns:
        What it answers.
    """
    answers, evaluations = [], 0
    for image in x_0:
        left, done = list(range(CLASSES)), 0
        errors: list[list[float]] = [[] for _ in left]
        for end, keep in zip(TRIALS, KEEP, strict=True):
            pairs = [(c, j) for c in left for j in range(done, end)]
            for start in range(0, len(pairs), BATCH):
                c, j = torch.tensor(pairs[start : start + BATCH]).T
                abar = alphas_cumprod[steps[j]].reshape(-1, 1, 1, 1)
                x_t = abar.sqrt() * image + (1 - abar).sqrt() * noise[j]
                said = network(x_t, timestep=steps[j], class_labels=c).sample
                squares = (said - noise[j]).square().mean(dim=(1, 2, 3))
                for candidate, error in zip(c.tolist(), squares.tolist(), strict=True):
                    errors[candidate].append(error)
            evaluations += len(pairs)
            left, done = sorted(left, key=lambda c: sum(errors[c]) / len(errors[c]))[:keep], end
        answers.append(left[0])
    return answers, evaluations


def trials_of(strategy: Strategy, model: Denoiser, x_0: Tensor) -> Trials:
    """Times and noise that a strategy meets."""
    return TrialSource(strategy.grid, NoiseBank(), strategy.stages, model.sample_shape)(x_0)


def plain(model: Any, x_0: Tensor, trials: Trials) -> Answers:
    """The loop, given what it needs of a model and its trials as plain tensors."""
    alphas_cumprod = model.schedule.scheduler.alphas_cumprod
    steps = torch.tensor([int(when * len(alphas_cumprod)) for when in trials.times])
    trials.noise.reserve(len(steps))
    noise = trials.noise.rows(torch.zeros_like(steps), torch.arange(len(steps)))
    return sequential(model.network, alphas_cumprod, x_0, steps, noise)


def engine(model: Denoiser, x_0: Tensor, strategy: Strategy) -> Answers:
    """All images at once."""
    told, bound = model.condition(range(CLASSES)), strategy.bind(CLASSES, strategy.stages)
    table = evaluate(
        model, x_0, told, trials_of(strategy, model, x_0), bound, get_losses(["l2"]),
        evaluations_per_batch=EVALUATIONS_PER_BATCH,
    )  # fmt: skip
    return table["l2"].predictions.tolist(), int(table.evaluations.sum())


def cpu_time(work: Callable[[], object]) -> float:
    """Seconds that this process computes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Run all three in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    model = AutoDenoiser.from_pretrained("diffclf/digits-dit")
    digits, count = Digits().test_sets()["digits"], options.images
    labels = [digits[index]["label"] for index in range(count)]
    images = [model.transform(digits.image(index)) for index in range(count)]
    x_0 = model.encode(torch.stack(images))
    staged = Staged(TRIALS, KEEP)
    trials = trials_of(staged, model, x_0)
    runs = {
        "plain loop, staged": lambda: plain(model, x_0, trials),
        "engine, staged": lambda: engine(model, x_0, staged),
        "engine, racing": lambda: engine(model, x_0, Racing()),
    }
    found = {name: run() for name, run in runs.items()}
    expected, same, _ = found.values()
    if same != expected:
        raise RuntimeError("the engine and the loop do not give the same answers")
    turns = [[cpu_time(run) for run in runs.values()] for _ in range(options.repeats)]
    title = f"{count} digits, {torch.get_num_threads()} threads, {options.repeats} turns"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("", "ms an image", "times as fast", "evaluations", "right", "differ from loop"):
        table.add_column(heading, justify="right" if heading else "left")
    for place, (name, (answers, evaluations)) in enumerate(found.items()):
        faster = sorted(turn[0] / turn[place] for turn in turns)
        table.add_row(
            name,
            f"{1e3 * statistics.median(turn[place] for turn in turns) / count:.1f}",
            f"{statistics.median(faster):.2f} ({faster[0]:.2f}-{faster[-1]:.2f})",
            f"{evaluations / count:.0f}",
            str(sum(map(eq, answers, labels))),
            str(sum(map(ne, answers, expected[0]))),
        )
    Console(width=120, highlight=False).print(table)


if __name__ == "__main__":
    main()
