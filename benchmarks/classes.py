r"""Evaluations of a race against the number of classes, and what ImageNet's thousand would cost.

    python benchmarks/classes.py --figure docs/images/racing-classes.png [RUN...]

Of one problem of 1000 Gaussians, whose best denoiser and posterior are known in closed form, and of
runs with the errors of all trials (``--model.strategy Full --model.grid GoldenGrid
--results.errors true``), each image is raced among its own class and more and more others, drawn at
random. Every race is replayed on the same errors, so that all meet the same trials, and its answer
is compared with that of all trials. The growth is a power law by least squares on logarithms.
Intervals are 95% over images.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from torch import Tensor

from diffclf_lightning import ErrorTable, Full, GoldenGrid, InputError, MeanError, Racing, evaluate
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.evaluation import NoiseBank, Timesteps, TrialSource, get_losses, replayed
from diffclf_lightning.metrics import clopper_pearson
from diffclf_lightning.results import RunFolder, stored_errors

CLASSES, SIDE, STD, TRIALS = 1000, 4, 0.46, 250
"""Of the Gaussians; all trials are as often right as DiT-XL/2 is on ImageNet, 77.5% of images."""
SIZES = (10, 30, 100, 240, 300, 1000)
AT_ONCE = 4
"""Images whose errors are held at once: a million of the Gaussians'."""
IMAGENET, PAPER = 1000, 100_000
"""Its classes, and the evaluations of an image in the paper's stages."""
PER_SECOND = 3331
"""Evaluations of DiT-XL/2 at 256 at most: an H200 of 790 TFLOP/s in bf16, 237 GFLOP each."""
RESAMPLES = 1000
COLOURS, GREY = ("#0b2545", "#d55e00", "#009e73", "#cc79a7"), "#9a9a9a"

Races = dict[int, dict[str, Tensor]]
"""By number of classes, what :func:`raced` says of every image."""


@dataclass(frozen=True)
class Images:
    """Some images of a problem.

    Args:
        errors: Of all candidates at all trials, shape ``(images, classes, trials)``.
        labels: Index of the right candidate, shape ``(images,)``.
        timesteps: Times of the trials.
        posterior: That of Bayes, shape ``(images, classes)``, where it is known.
    """

    errors: Tensor
    labels: Tensor
    timesteps: Timesteps
    posterior: Tensor | None = None


def gaussians(images: int) -> Iterator[Images]:
    """Images of a thousand classes, and their errors by the best denoiser there is."""
    generator = torch.Generator().manual_seed(0)
    means = torch.rand(CLASSES, 1, SIDE, SIDE, generator=generator) * 2 - 1
    model, strategy, losses = GaussianDenoiser(means, STD), Full(TRIALS), get_losses(["l2"])
    source = TrialSource(GoldenGrid(), NoiseBank(), strategy.stages, model.sample_shape)
    told, bound = model.condition(range(CLASSES)), strategy.bind(CLASSES, source.ends)
    for labels in torch.randint(CLASSES, (images,), generator=generator).split(AT_ONCE):
        noise = torch.randn(len(labels), *model.sample_shape, generator=generator)
        x_0 = means[labels] + STD * noise
        trials = source(x_0)
        table = evaluate(model, x_0, told, trials, bound, losses, evaluations_per_batch=8192)
        posterior = model.bayes_posterior(x_0)
        yield Images(table.dense("l2"), labels, table.timesteps, posterior)


def of_run(run: RunFolder) -> Iterator[Images]:
    """Images of a run.

    Raises:
        InputError: If it does not hold what a race among its classes would meet.
    """
    (loss,) = MeanError(run.description()["scores"][0]).losses
    strategy, grid = (run.description()[name] for name in ("strategy", "grid"))
    for _, rows, table in stored_errors(run):
        trials, one_each = len(table.timesteps), len(table.labels.unique()) == len(table.labels)
        if not (table.counts == trials).all() or not one_each or grid != repr(GoldenGrid()):
            raise InputError(
                f"Expected RUN to hold all errors of one candidate a class, in the order of a "
                f"race, but {str(run.path)!r} is of {strategy}, {grid}, {len(table.labels)} "
                f"candidates and {len(table.labels.unique())} classes. Run `diffclf test` with "
                "--model.strategy Full --model.grid GoldenGrid --results.errors true."
            )
        labels = torch.tensor(rows["label"].to_pylist())
        own = (table.labels == labels[:, None]).nonzero()[:, 1]
        errors = table.dense(loss)
        for some in torch.arange(len(own)).split(AT_ONCE):
            yield Images(errors[some], own[some], table.timesteps)


def races(problem: Iterator[Images], sizes: Sequence[int]) -> Races:
    """Races of each image among its own class and others, by their number."""
    generator = torch.Generator().manual_seed(1)
    parts: dict[int, list[dict[str, Tensor]]] = {}
    for images in problem:
        order = torch.rand(images.errors.shape[:2], generator=generator)
        order = order.scatter(1, images.labels[:, None], -1).argsort(dim=1)  # its own class first
        for size in (size for size in sizes if size <= order.shape[1]):
            parts.setdefault(size, []).append(raced(images, order[:, :size]))
    return {
        size: {name: torch.cat([part[name] for part in mine]) for name in mine[0]}
        for size, mine in parts.items()
    }


def raced(images: Images, chosen: Tensor) -> dict[str, Tensor]:
    """Races among some classes of each image, the right one first; values of shape ``(images,)``.

    Args:
        images: The images.
        chosen: Their classes, shape ``(images, some)``.

    Returns:
        Evaluations of a race (``racing``) and of a strict one (``strict``); whether all trials, and
        the race, are right (``full right``, ``right``) and answer as Bayes (``full Bayes``,
        ``Bayes``); whether the race differs from all trials (``differs``), and the strict one.
    """
    errors = images.errors.gather(1, chosen[..., None].expand(-1, -1, images.errors.shape[2]))
    classes, trials = errors.shape[1:]
    counts, labels = torch.full(chosen.shape, trials), torch.arange(classes)
    table = ErrorTable({"l2": errors.flatten()}, counts, labels, counts > 0, images.timesteps)

    def by(rule: Racing) -> tuple[Tensor, Tensor]:
        part = replayed(table, rule.bind(classes, rule.stages), MeanError())
        return part.evaluations, part["l2"].best

    full = table["l2"].best
    evaluations, best = by(Racing(max_trials=trials))
    strict, safest = by(Racing(max_trials=trials, strict=True))
    said = {
        "racing": evaluations, "strict": strict, "full right": full == 0, "right": best == 0,
        "differs": best != full, "strict differs": safest != full,
    }  # fmt: skip
    if images.posterior is not None:
        bayes = images.posterior.gather(1, chosen).argmax(dim=1)
        said |= {"full Bayes": full == bayes, "Bayes": best == bayes}
    return said


class Problem(NamedTuple):
    """Number of trials at most, and the races."""

    trials: int
    found: Races


@dataclass(frozen=True)
class Growth:
    """A power law ``factor * classes ** exponent``.

    Args:
        factor: Its factor.
        exponent: Its exponent.
        interval: Ends of the exponent's interval, over images.
    """

    factor: float
    exponent: float
    interval: tuple[float, float]

    def __call__(self, classes: float) -> float:
        """Evaluations among so many classes."""
        return self.factor * classes**self.exponent

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.factor:.1f} K^{self.exponent:.3f} ({low:.3f}-{high:.3f})"

    @classmethod
    def of(cls, found: Races, name: str = "racing") -> "Growth":
        """Fit it to mean evaluations."""
        logs = np.log(list(found))
        spent = torch.stack([said[name] for said in found.values()]).double().numpy()
        random = np.random.default_rng(0)
        picks = random.integers(spent.shape[1], size=(RESAMPLES, spent.shape[1]))
        fits = [np.polyfit(logs, np.log(spent[:, pick].mean(axis=1)), 1)[0] for pick in picks]
        exponent, factor = np.polyfit(logs, np.log(spent.mean(axis=1)), 1)
        low, high = np.quantile(fits, (0.025, 0.975))
        return cls(float(np.exp(factor)), float(exponent), (float(low), float(high)))


def mean_and_spread(values: Tensor) -> tuple[float, float]:
    """Mean, and half of its interval."""
    return float(values.double().mean()), 1.96 * float(values.double().std()) / len(values) ** 0.5


def share(hits: Tensor) -> str:
    """A count with its interval in percent."""
    count, within = int(hits.sum()), clopper_pearson(int(hits.sum()), len(hits), alpha=0.05)
    return f"{count} ({100 * within.lower:.1f}-{100 * within.upper:.1f}%)"


def shown(name: str, trials: int, found: Races) -> Table:
    """The table of a problem."""
    images = len(next(iter(found.values()))["racing"])
    table = Table(title=f"{name}: {images} images", title_justify="left", box=SIMPLE_HEAD)
    has_bayes = "Bayes" in next(iter(found.values()))
    headings = ["classes", f"Full({trials})", "Racing", "strict", "right: full", "race", "differ"]
    headings += ["strict differ"] + ["as Bayes: full", "race"] * has_bayes
    for heading in headings:
        table.add_column(heading, justify="right")
    for size, said in found.items():
        spent = (mean_and_spread(said[rule]) for rule in ("racing", "strict"))
        table.add_row(
            f"{size:,}",
            f"{size * trials:,}",
            *(f"{mean:,.0f} ± {spread:,.0f}" for mean, spread in spent),
            *(str(int(said[kind].sum())) for kind in ("full right", "right")),
            *(share(said[kind]) for kind in ("differs", "strict differs")),
            *(str(int(said[kind].sum())) for kind in ("full Bayes", "Bayes") if has_bayes),
        )
    return table


def cost(problems: dict[str, Problem]) -> Table:
    """What ImageNet would cost, none of which was run."""
    title = (
        f"ImageNet by DiT-XL/2 at 256, computed, not measured: {IMAGENET:,} classes, at the bound "
        f"of {PER_SECOND:,.0f} evaluations a second (an H200 in bf16)"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("an image", "evaluations", "seconds"):
        table.add_column(heading, justify="left" if heading == "an image" else "right")
    rows = {f"Full({TRIALS})": IMAGENET * TRIALS, "the paper's stages": PAPER}
    for name, (trials, found) in problems.items():
        if IMAGENET in found:
            rows[f"Racing, as of the {name}"] = mean_and_spread(found[IMAGENET]["racing"])[0]
        elif len(found) > 1:
            how = f"Racing(max_trials={trials}), extrapolated from {name}"
            rows[how] = Growth.of(found)(IMAGENET)
    for how, evaluations in rows.items():
        table.add_row(how, f"{evaluations:,.0f}", f"{evaluations / PER_SECOND:.1f}")
    return table


def drawn(problems: dict[str, Problem]) -> Figure:
    """Evaluations against classes, both on logarithmic axes."""
    figure = Figure(figsize=(7.6, 3.9), layout="constrained")
    axis = figure.subplots()
    for (name, (trials, found)), colour in zip(problems.items(), COLOURS, strict=False):
        sizes = np.array(list(found))
        for rule, marker, fill in (("racing", "o", colour), ("strict", "s", "white")):
            every = [mean_and_spread(said[rule]) for said in found.values()]
            label = f"{name}, {'race' if rule == 'racing' else 'strict race'}"
            axis.errorbar(
                sizes, [mean for mean, _ in every], yerr=[spread for _, spread in every],
                fmt=marker, ms=5, color=colour, mfc=fill, capsize=2, lw=1, label=label,
            )  # fmt: skip
        line = np.geomspace(sizes[0], IMAGENET, 50)
        axis.plot(line, trials * line, color=colour, lw=0.8, ls=":", label=f"Full({trials})")
        if len(found) > 1:
            growth, beyond = Growth.of(found), sizes[-1] < IMAGENET
            label = f"{growth.factor:.0f} K$^{{{growth.exponent:.2f}}}$"
            axis.plot(
                line, growth(line), color=colour, lw=1.2, ls="--" if beyond else "-",
                label=f"{label}, extrapolated" if beyond else label,
            )  # fmt: skip
    axis.plot(IMAGENET, PAPER, "*", color=GREY, ms=10, ls="", label="the paper's stages, ImageNet")
    axis.set(xscale="log", yscale="log", xlabel="classes K", ylabel="evaluations an image")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    return figure


def main() -> None:
    """Print the tables, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="*", help="folders of runs with the errors of all trials")
    parser.add_argument("--images", type=int, default=300, help="of the Gaussians")
    parser.add_argument("--figure", type=Path, help="file to draw it to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    problems = {"Gaussians": Problem(TRIALS, races(gaussians(options.images), SIZES))}
    for run in map(RunFolder, options.runs):
        trials = len(run.description()["trials"]["time"])
        problems[run.path.name] = Problem(trials, races(of_run(run), SIZES))
    console = Console(width=140, highlight=False)
    for name, (trials, found) in problems.items():
        console.print(shown(name, trials, found))
        if len(found) > 1:
            console.print(f"Racing takes {Growth.of(found)} evaluations of K classes\n")
    console.print(cost(problems))
    if options.figure:
        drawn(problems).savefig(options.figure, dpi=150)


if __name__ == "__main__":
    main()
