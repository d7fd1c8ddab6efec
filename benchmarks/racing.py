r"""Racing beside staged pruning and all trials, on the same stored errors.

    diffclf test --config digits --model.strategy Full --model.strategy.trials 250 \
        --model.grid GoldenGrid --results.errors true --results.folder runs/full
    python benchmarks/racing.py runs/full [OTHER_RUN...]

Every strategy is replayed on the errors of the run, so that all meet the same trials, and their
answers are compared with that of all trials. Other runs on the same images, of whatever strategy
and order of times, are shown as they were. Then levels are calibrated on random halves of the
images and tried on the other halves.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from torch import Tensor

from diffclf_lightning import Full, MeanError, Racing, Staged, Strategy, Thinning
from diffclf_lightning.calibrate import LEVELS
from diffclf_lightning.evaluation import replayed
from diffclf_lightning.metrics import clopper_pearson, images_needed, last_within
from diffclf_lightning.results import RunFolder, stored_errors

HALVES, CONFIDENCE = 500, 0.9


@dataclass(frozen=True)
class Answered:
    """Predicted label and evaluations of each image, and rounds where they are known."""

    predictions: Tensor
    evaluations: Tensor
    rounds: Tensor | None = None


def strategies(trials: int) -> dict[str, Strategy]:
    """What is compared."""
    stages = (4, 12, min(50, trials))
    return {
        f"Full({trials})": Full(trials),
        f"Staged(trials={stages}, keep=(4, 2, 1))": Staged(stages, (4, 2, 1)),
        f"Thinning(trials={stages})": Thinning(stages),
        "Racing()": Racing(max_trials=trials),
        "Racing(level=0.05)": Racing(0.05, max_trials=trials),
        "Racing(strict=True)": Racing(max_trials=trials, strict=True),
    }


def replay(run: RunFolder, chosen: Sequence[Strategy]) -> list[Answered]:
    """What strategies answer from the errors of a run."""
    score = MeanError(run.description()["scores"][0])
    parts: list[list[Answered]] = [[] for _ in chosen]
    for _, _, table in stored_errors(run):
        for strategy, mine in zip(chosen, parts, strict=True):
            bound = strategy.bind(len(table.labels), strategy.stages)
            part = replayed(table, bound, score)
            ends = torch.tensor(bound.ends)
            rounds = torch.searchsorted(ends, part.counts.amax(dim=1)) + 1
            mine.append(Answered(part.scored(score).predictions, part.evaluations, rounds))
    return [
        Answered(*(torch.cat([getattr(part, name) for part in mine]) for name in vars(mine[0])))
        for mine in parts
    ]


def as_it_was(run: RunFolder, images: Sequence[tuple[str, str]]) -> Answered:
    """What another run answered of some images."""
    rows: Any = run.rows(["prediction"])
    names = zip(rows["set"].to_pylist(), rows["key"].to_pylist(), strict=True)
    place = {name: index for index, name in enumerate(names)}
    order = [place[image] for image in images]
    return Answered(
        *(torch.tensor(rows[c].to_pylist())[order] for c in ("prediction", "evaluations"))
    )


def row(name: str, answered: Answered, full: Answered, labels: Tensor) -> list[str]:
    """A row of the table: intervals of 95% over images."""
    images, right = len(labels), int((answered.predictions == labels).sum())
    differs = int((answered.predictions != full.predictions).sum())
    within = clopper_pearson(differs, images, alpha=0.05)
    spent = answered.evaluations.double()
    spread = 1.96 * float(spent.std()) / images**0.5
    rounds = answered.rounds
    return [
        name,
        f"{100 * right / images:.1f} ({right} of {images})",
        f"{differs} ({100 * within.lower:.1f}-{100 * within.upper:.1f}%)",
        f"{float(spent.mean()):.0f} ± {spread:.0f}",
        "" if rounds is None else f"{float(rounds.double().mean()):.1f}, {int(rounds.max())}",
    ]


def halves(raced: Sequence[Answered], full: Answered, rate: float) -> str:
    """Levels that are chosen on random halves of the images, tried on the other halves."""
    wrong = torch.stack([one.predictions != full.predictions for one in raced])
    spent = torch.stack([one.evaluations for one in raced]).double()
    images = wrong.shape[1]
    half, generator = images // 2, torch.Generator().manual_seed(0)
    if half < images_needed(rate, CONFIDENCE):
        return f"error rate {rate:.0%}: needs halves of {images_needed(rate, CONFIDENCE)} images"
    found, tried, costs, beyond = [], [], [], 0
    for _ in range(HALVES):
        order = torch.randperm(images, generator=generator)
        mine, other = order[:half], order[half:]
        place = last_within(wrong[:, mine].sum(dim=1).tolist(), half, rate, CONFIDENCE)
        if place is None:
            continue
        share = float(wrong[place, other].double().mean())
        found.append(LEVELS[place])
        tried.append(share)
        costs.append(float(spent[place, other].mean()))
        beyond += share > rate
    if not found:
        return f"error rate {rate:.0%}: no level is shown to be within it by half of the images"
    middle = sorted(found)[len(found) // 2]
    return (
        f"error rate {rate:.0%}: a level on {len(found)} of {HALVES} halves, {middle:g} in the "
        f"middle; on the other halves {100 * sum(tried) / len(tried):.2f}% differ, at "
        f"{sum(costs) / len(costs):.0f} evaluations; beyond the rate on {beyond}"
    )


def main() -> None:
    """Print the table of a run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="folder of a run with the errors of all trials")
    parser.add_argument("others", nargs="*", help="folders of other runs on the same images")
    parser.add_argument("--without", action="append", default=[], help="a set to leave out")
    options = parser.parse_args()
    run = RunFolder(options.run)
    rows: Any = run.rows(["label"])
    sets, keys = rows["set"].to_pylist(), rows["key"].to_pylist()
    kept = torch.tensor([index for index, name in enumerate(sets) if name not in options.without])
    labels = torch.tensor(rows["label"].to_pylist())[kept]

    def of_kept(answered: Answered) -> Answered:
        return Answered(*(v if v is None else v[kept] for v in vars(answered).values()))

    trials = len(run.description()["trials"]["time"])
    named = strategies(trials)
    levels = [Racing(level, max_trials=trials) for level in LEVELS]
    every = [of_kept(one) for one in replay(run, [*named.values(), *levels])]
    full = every[0]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("strategy", "accuracy, %", "differ from full", "evaluations", "rounds, most"):
        table.add_column(heading, justify="left" if heading == "strategy" else "right")
    for name, answered in zip(named, every, strict=False):
        table.add_row(*row(name, answered, full, labels))
    images = [(sets[i], keys[i]) for i in kept.tolist()]
    for other in map(RunFolder, options.others):
        name = f"{other.description()['strategy']}, {other.description()['grid']}"
        table.add_row(*row(name, as_it_was(other, images), full, labels))
    console = Console(width=140)
    console.print(table)
    for rate in (0.02, 0.05):
        console.print(halves(every[len(named) :], full, rate), highlight=False)


if __name__ == "__main__":
    main()
