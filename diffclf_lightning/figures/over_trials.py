"""Figure 4: accuracy over the number of trials, for policies of choosing their times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffclf_lightning.errors import InputError
from diffclf_lightning.figures.learned import learned_weights
from diffclf_lightning.figures.policies import POLICIES, EvenlySpaced, Policy
from diffclf_lightning.figures.stored import Pool

BUDGETS = 14
"""Numbers of trials at which accuracy is computed, evenly spaced in their logarithm."""
RESAMPLES = 20
BAND = (0.05, 0.95)
LEARNED = "evenly spaced, learned weights"


@dataclass(frozen=True)
class PolicyCurve:
    """Accuracy of a policy, each array of shape ``(budgets,)``.

    Args:
        policy: Its name.
        trials: Numbers of trials of each candidate.
        accuracy: Mean over resamples of the share of right answers.
        lower: The 5% quantile over resamples.
        upper: The 95% quantile.
    """

    policy: str
    trials: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    def records(self) -> list[dict[str, Any]]:
        """Rows of a CSV file."""
        columns = ("trials", "accuracy", "lower", "upper")
        rows = zip(*(getattr(self, name).tolist() for name in columns), strict=True)
        return [{"policy": self.policy, **dict(zip(columns, row, strict=True))} for row in rows]


def over_trials(
    pool: Pool, policies: Sequence[Policy] = POLICIES, resamples: int = RESAMPLES
) -> list[PolicyCurve]:
    """Accuracy over the number of trials.

    Each resample leaves a policy half of the trials, drawn without replacement, to choose from; or
    as many as it may spend, where these are more. So with all trials every policy gives the answer
    of the run, and towards that bands grow narrow.

    Args:
        pool: The trials.
        policies: The policies.
        resamples: Number of resamples.

    Returns:
        A curve for each policy, and for evenly spaced times under weights that are learned on the
        half of the images that is not tested.

    Raises:
        InputError: If there are fewer than two images or trials, or no resample.
    """
    if resamples < 1:
        raise InputError(f"Expected --resamples to be at least 1, but got {resamples}.")
    if pool.trials < 2:
        raise InputError(
            "Expected at least 2 trials of each candidate, but got 1. Run the model with "
            "more: --model.strategy.trials."
        )
    budgets = _budgets(pool.trials)
    names = [policy.name for policy in policies]
    chosen = np.concatenate([_selections(policy, pool, budgets, resamples) for policy in policies])
    evenly = _selections(EvenlySpaced(), pool, budgets, resamples)
    weights = learned_weights(pool, pool.num_images)
    matrices = [torch.from_numpy(np.concatenate([chosen, evenly * own]).T) for own in weights]
    right = np.zeros(matrices[0].shape[1])
    place = 0
    for block in pool.blocks(matrices[0].shape[1]):
        values = block.values.double()
        values -= values.mean(dim=1, keepdim=True)  # the same for all candidates
        odd = torch.arange(place, place + len(values)) % 2 == 1
        for half, matrix in zip((~odd, odd), matrices, strict=True):
            answers = pool.right(values[half] @ matrix, block.truth[half])
            right += answers.sum(dim=0, dtype=torch.float64).numpy()
        place += len(values)
    accuracy = (right / place).reshape(len(names) + 1, len(budgets), resamples)
    lower, upper = np.quantile(accuracy, BAND, axis=2)
    return [
        PolicyCurve(name, budgets, accuracy[i].mean(axis=1), lower[i], upper[i])
        for i, name in enumerate([*names, LEARNED])
    ]


def _selections(
    policy: Policy, pool: Pool, budgets: NDArray[np.int64], resamples: int
) -> NDArray[np.float64]:
    """Ones at the chosen trials, shape ``(budgets * resamples, trials)``."""
    random = np.random.default_rng(0)
    chosen = np.zeros((len(budgets), resamples, pool.trials))
    for budget, number in enumerate(budgets.tolist()):
        for resample in range(resamples):
            left = random.choice(pool.trials, max(number, -(-pool.trials // 2)), replace=False)
            left = left[pool.times[left].argsort(kind="stable")]
            places = policy.choose(pool.times[left], number, random)
            chosen[budget, resample, left[places]] = 1
    return chosen.reshape(-1, pool.trials)


def _budgets(trials: int) -> NDArray[np.int64]:
    return np.unique(np.geomspace(1, trials, BUDGETS).round().astype(np.int64))
