r"""Uniform, Clark and Jaini's and learned weights over time, by number of trials.

    diffclf test --config digits --data.test_sets "[fonts]" --model.strategy Full \
        --model.strategy.trials 128 --model.grid GoldenGrid --model.other_losses "[l2_x_0]" \
        --results.errors true --results.folder runs/fonts
    python benchmarks/time_weights.py runs/fonts [OTHER_RUN...]

Of each set the images are halved at random, again and again: on one half weights and biases are
learned, as ``diffclf calibrate --weights --bias`` does, at all trials, and on the other answers are
compared by the first 8, 32 and 128 trials, as far as there are so many.
"""

import argparse
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from torch import Tensor

from diffclf_lightning import ExponentialWeight, InputError, LearnedWeights, UniformWeight
from diffclf_lightning.calibrate import PARTS
from diffclf_lightning.evaluation import TimeWeight, part_of
from diffclf_lightning.metrics import fit_time_weights, one_trial_a_part
from diffclf_lightning.results import RunFolder, stored_errors, timesteps_of

TRIALS = (8, 32, 128)
NOISE, SAMPLE = "l2", "l2_x_0"
Errors = Mapping[str, Tensor]


def load(run: RunFolder) -> dict[str, tuple[Errors, Tensor, Tensor]]:
    """Errors by loss, labels of candidates and true labels, by set.

    Raises:
        InputError: If errors by a loss are not there.
    """
    parts: dict[str, list[tuple[Errors, Tensor, Tensor]]] = {}
    for name, rows, table in stored_errors(run):
        for loss in (NOISE, SAMPLE):
            if loss not in table.errors:
                raise InputError(
                    f"Expected a run with errors by {loss}, but {str(run.path)!r} has none. Run it "
                    f"with --model.other_losses '[{SAMPLE}]'."
                )
        errors = {loss: table.dense(loss) for loss in (NOISE, SAMPLE)}
        truth = torch.from_numpy(rows["label"].to_numpy().copy())
        parts.setdefault(name, []).append((errors, table.labels, truth))
    return {
        name: (
            {loss: torch.cat([e[loss] for e, _, _ in every]) for loss in (NOISE, SAMPLE)},
            every[0][1],
            torch.cat([truth for _, _, truth in every]),
        )
        for name, every in parts.items()
    }


def answers(
    run: RunFolder, errors: Errors, labels: Tensor, truth: Tensor, learning: NDArray[np.bool_]
) -> tuple[dict[str, list[float]], Sequence[float]]:
    """Accuracy on the images that nothing was learned of, by score and number of trials.

    Returns:
        The accuracies, and the weights that were learned.
    """
    at = timesteps_of(run.description())
    place = part_of(at.time, PARTS)
    own = (labels[None] == truth[:, None]).numpy()
    each = one_trial_a_part(errors[NOISE], place.tolist()).double().numpy()
    learned = LearnedWeights(weights=fit_time_weights(each[learning], own[learning]).tolist())
    scores: dict[str, tuple[str, TimeWeight]] = {
        "uniform": (NOISE, UniformWeight()),
        "Clark-Jaini": (SAMPLE, ExponentialWeight()),
        "learned": (NOISE, learned.weight),
    }
    found: dict[str, list[float]] = {}
    numbers = trials_of(len(at))
    testing = torch.from_numpy(~learning)
    for name, (loss, weight) in scores.items():
        values = (errors[loss] * weight(at)).double()
        bias = torch.stack(
            [values[~testing][:, :, place == part].mean(dim=(0, 2)) for part in range(PARTS)], dim=1
        )
        for said, less in ((name, values), (f"{name}, bias off", values - bias[:, place])):
            means = [less[testing][:, :, :number].mean(dim=2) for number in numbers]
            found[said] = [
                float((labels[mean.argmin(dim=1)] == truth[testing]).double().mean())
                for mean in means
            ]
    return found, learned.weights


def trials_of(most: int) -> list[int]:
    """Numbers of trials that are compared, of a run of so many."""
    return [number for number in TRIALS if number <= most]


def halves(truth: Tensor, number: int) -> list[NDArray[np.bool_]]:
    """Random halves of the images, and their other halves."""
    random = np.random.default_rng(0)
    chosen = []
    for _ in range(number):
        half = np.zeros(len(truth), dtype=bool)
        half[random.permutation(len(truth))[: len(truth) // 2]] = True
        chosen += [half, ~half]
    return chosen


def rows(found: Sequence[Mapping[str, Sequence[float]]]) -> list[list[str]]:
    """Means over halves, and how far they are above uniform weights, with the deviation of that."""
    rows = []
    for name in found[0]:
        mine = 100 * np.array([one[name] for one in found])
        above = mine - 100 * np.array([one["uniform"] for one in found])
        rows.append([name, *(
            f"{mean:.1f}" + ("" if name == "uniform" else f" ({more:+.1f} ± {spread:.1f})")
            for mean, more, spread in zip(mine.mean(0), above.mean(0), above.std(0), strict=True)
        )])  # fmt: skip
    return rows


def main() -> None:
    """Print a table of each set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", help="folders of runs with the errors of all trials")
    parser.add_argument("--halves", type=int, default=10, help="pairs of halves")
    options = parser.parse_args()
    console = Console(width=140)
    for run in map(RunFolder, options.runs):
        for set_name, (errors, labels, truth) in load(run).items():
            every = [
                answers(run, errors, labels, truth, half) for half in halves(truth, options.halves)
            ]
            found, weights = zip(*every, strict=True)
            title = f"{run.path.name}, {set_name}: {len(truth)} images"
            table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
            numbers = trials_of(errors[NOISE].shape[2])
            for heading in ("accuracy, %", *(f"{number} trials" for number in numbers)):
                table.add_column(heading)
            for row in rows(found):
                table.add_row(*row)
            console.print(table)
            mean = " ".join(f"{weight:.1f}" for weight in np.mean(weights, axis=0))
            console.print(f"learned, on average: {mean}\n", highlight=False)


if __name__ == "__main__":
    main()
