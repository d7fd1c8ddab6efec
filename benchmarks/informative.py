r"""A race whose first times are informative ones, beside one whose times are spread evenly.

    python benchmarks/informative.py --classes 100

Images of closed-form Gaussian classes. The density over time is learned on some images at all
trials; on others, all trials and races are compared, each order with all trials of its own.
"""

import argparse

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from diffclf_lightning import ErrorTable, Full, GoldenGrid, InformativeGrid, MeanError, Racing
from diffclf_lightning.calibrate import density_over_time
from diffclf_lightning.denoisers import Conditioning, GaussianDenoiser
from diffclf_lightning.evaluation import (
    NoiseBank,
    TimeGrid,
    TrialSource,
    evaluate,
    get_loss,
    replayed,
)

SCORE = MeanError("l2")


def all_trials(
    model: GaussianDenoiser, x_0: torch.Tensor, grid: TimeGrid, trials: int
) -> ErrorTable:
    """Errors of all classes at all trials."""
    source = TrialSource(grid, NoiseBank(seed=0), (trials,), model.sample_shape)
    classes: Conditioning = model.condition(range(len(model.means)))
    strategy = Full(trials).bind(len(model.means), source.ends)
    return evaluate(
        model, x_0, classes, source(x_0), strategy, [get_loss("l2")], evaluations_per_batch=2**15
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--images", type=int, default=200, help="to learn on, and to race on")
    parser.add_argument("--trials", type=int, default=250)
    options = parser.parse_args()
    torch.manual_seed(0)
    model = GaussianDenoiser(torch.rand(options.classes, 1, 4, 4) * 2 - 1, std=0.4)
    labels = torch.randint(options.classes, (2, options.images))
    learning, x_0 = model.means[labels] + 0.4 * torch.randn(*labels.shape, 1, 4, 4)
    golden = GoldenGrid()
    times, _ = golden.order((options.trials,))
    learned = all_trials(model, learning, golden, options.trials)
    informative = InformativeGrid(density=density_over_time([learned], times, SCORE))
    table = Table("order", "level", "differ", "evaluations", box=SIMPLE_HEAD)
    for grid in (golden, informative):
        full = all_trials(model, x_0, grid, options.trials)
        right = full.scored(SCORE).predictions
        for level in (0.02, 0.05):
            race = Racing(level, max_trials=options.trials)
            raced = replayed(full, race.bind(options.classes, race.stages), SCORE)
            differs = int((raced.scored(SCORE).predictions != right).sum())
            spent = raced.evaluations.double()
            spread = 1.96 * float(spent.std()) / options.images**0.5
            name = type(grid).__name__
            table.add_row(
                name, f"{level:g}", f"{differs} of {options.images}",
                f"{float(spent.mean()):.0f} ± {spread:.0f}",
            )  # fmt: skip
    Console(width=100).print(table)
    Console(width=140).print(f"density: {informative.density}", highlight=False)


if __name__ == "__main__":
    main()
