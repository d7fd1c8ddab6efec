r"""A race after shortlists of several sizes, beside tuned stages, on the same stored errors.

    diffclf test --config glyphs --model.strategy Full --model.strategy.trials 32 \
        --model.grid GoldenGrid --results.errors true --data.num_test 200 --results.folder runs/full
    diffclf validate --config glyphs --model.validation_strategy Full \
        --model.validation_strategy.trials 2 --model.shortlist GradientShortlist \
        --results.folder runs/val
    diffclf calibrate runs/val
    diffclf test --config glyphs --model.shortlist GradientShortlist --model.shortlist.keep 30 \
        --model.shortlist.calibration runs/val --results.folder runs/short
    python benchmarks/shortlist_sizes.py runs/full runs/short --calibration runs/val

The second run has the shortlist's scores of all candidates, whatever it kept. Staged pruning is
tuned in its favour: of many stages and numbers kept the cheapest on these very images that is as
often right as all trials.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from torch import Tensor

from diffclf_lightning import MeanError, Racing, Staged, Strategy
from diffclf_lightning.calibration import Calibration
from diffclf_lightning.evaluation import ErrorTable, replayed
from diffclf_lightning.metrics import clopper_pearson
from diffclf_lightning.results import RunFolder, candidates_of, stored_errors

SIZES = 5, 10, 20, 30, 50, 100
FIRST, SECOND = (1, 2, 3, 4, 6), (4, 6, 8, 12, 16)
KEPT, LAST = (5, 10, 20, 40), (2, 3, 5, 10)


def staged(trials: int) -> Iterator[Staged]:
    """The stages among which the cheapest is looked for."""
    for first, second, kept, last in product(FIRST, SECOND, KEPT, LAST):
        if first < second < trials and last < kept:
            yield Staged((first, second, trials), (kept, last, 1))


def raced(table: ErrorTable, strategy: Strategy, score: MeanError) -> tuple[Tensor, Tensor]:
    """Predicted label and evaluations of each image."""
    made = replayed(table, strategy.bind(len(table.labels), strategy.stages), score)
    return made.scored(score).predictions, made.evaluations


def shortlisted(run: RunFolder, keys: list[tuple[str, str]], calibration: str) -> tuple[Any, Any]:
    """Place of each candidate of some images, and the evaluations that ranking took."""
    rows: Any = run.rows(["shortlist_scores", "counts", "evaluations"])
    names = zip(rows["set"].to_pylist(), rows["key"].to_pylist(), strict=True)
    place = {name: index for index, name in enumerate(names)}
    order = [place[key] for key in keys]
    bias = Calibration.load(calibration).bias or {}
    means = torch.tensor([bias[name] for name in candidates_of(run).names])
    scores = torch.tensor(rows["shortlist_scores"].to_pylist())[order] - means
    counts = torch.tensor(rows["counts"].to_pylist())[order].sum(dim=1)
    spent = torch.tensor(rows["evaluations"].to_pylist())[order] - counts
    return scores.argsort(dim=1, stable=True).argsort(dim=1), spent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="folder of a run with the errors of all trials")
    parser.add_argument("shortlisted", help="folder of a run with a shortlist, on the same images")
    parser.add_argument("--calibration", required=True, help="folder with the bias of its scores")
    options = parser.parse_args()
    run = RunFolder(options.run)
    score = MeanError(run.description()["scores"][0])
    parts = [(name, rows, table) for name, rows, table in stored_errors(run)]
    keys = [(name, key) for name, rows, _ in parts for key in rows["key"].to_pylist()]
    labels = torch.cat([torch.tensor(rows["label"].to_pylist()) for _, rows, _ in parts])
    tables = [table for _, _, table in parts]
    trials = len(run.description()["trials"]["time"])
    full = torch.cat([table.scored(score).predictions for table in tables])
    right = int((full == labels).sum())

    def of(strategy: Strategy, some: list[ErrorTable]) -> tuple[Tensor, Tensor]:
        predictions, evaluations = zip(*(raced(t, strategy, score) for t in some), strict=True)
        return torch.cat(predictions), torch.cat(evaluations).double()

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "right", "differ from full", "evaluations", "full's answer kept, %"):
        shown.add_column(heading, justify="left" if not heading else "right")

    def show(name: str, predictions: Tensor, spent: Tensor, kept: float | None = None) -> None:
        images, differs = len(labels), int((predictions != full).sum())
        within = clopper_pearson(differs, images, alpha=0.05)
        shown.add_row(
            name,
            f"{int((predictions == labels).sum())} of {images}",
            f"{differs} ({100 * within.lower:.1f}-{100 * within.upper:.1f}%)",
            f"{float(spent.mean()):.0f} ± {1.96 * float(spent.std()) / images**0.5:.0f}",
            "" if kept is None else f"{100 * kept:.1f}",
        )

    everything = torch.cat([table.evaluations for table in tables]).double()
    show(f"Full({trials})", full, everything)
    tried = [(strategy, *of(strategy, tables)) for strategy in staged(trials)]
    for least in (right, right - 1, right - 2):
        some = [one for one in tried if int((one[1] == labels).sum()) >= least]
        best = min(some, key=lambda one: float(one[2].mean()), default=None)
        if best is not None:
            show(f"{best[0]!r}, tuned for {least}", *best[1:])
    race = Racing(max_trials=trials)
    show("Racing", *of(race, tables))
    ranks, spent = shortlisted(RunFolder(options.shortlisted), keys, options.calibration)
    cut = ranks.split([len(table.counts) for table in tables])
    for size in SIZES:
        some = [
            replace(table.beginning(table.counts * (mine < size)), allowed=mine < size)
            for table, mine in zip(tables, cut, strict=True)
        ]
        predictions, evaluations = of(race, some)
        kept = float((ranks.gather(1, full[:, None]) < size).double().mean())
        show(f"the first {size}, then Racing", predictions, evaluations + spent, kept)
    Console(width=140).print(shown)


if __name__ == "__main__":
    main()
