"""Scores that are learned from stored errors: weights over time, and the bias of candidates."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from diffclf_lightning.calibrate.full_errors import PARTS, FullErrors
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import MeanError
from diffclf_lightning.metrics import fit_time_weights, one_trial_a_part, repeats_and_step
from diffclf_lightning.results import candidates_of

DIGITS = 6
"""Significant ones, of what is stored."""


def fit_weights(full: FullErrors) -> tuple[tuple[float, ...], int]:
    """Weights over time of the errors by a loss, as :func:`fit_time_weights` has them.

    Args:
        full: The errors, whose score is the mean of the loss.

    Returns:
        Weights of 20 equal parts of [0, 1), 1 on average; and the number of images that they were
        learned of.

    Raises:
        InputError: If the run does not permit it, or errors are not finite.
    """
    if not isinstance(full.score, MeanError):
        raise InputError(
            f"Expected --weights with the mean of a loss, but got {full.score.name!r}. Give "
            "--score MeanError and --score.loss, or drop --weights."
        )
    places, width = full.places(), len(candidates_of(full.run))
    repeats, step = repeats_and_step(full.num_images, width, PARTS)
    errors, own, position = [], [], 0
    for _, rows, table in full.parts():
        chosen = slice(-position % step, None, step)
        position += len(rows)
        values = table.scored(full.score).dense()[chosen]
        labels = torch.from_numpy(rows["label"].to_numpy().copy())[chosen]
        missing = width - len(table.labels)  # sets may have some of the candidates
        _check_finite(values, full)
        each = one_trial_a_part(values, places, repeats)
        errors.append(F.pad(each, (0, 0, 0, missing), value=torch.nan))
        own.append(F.pad(table.labels[None] == labels[:, None], (0, missing)))
    weights = fit_time_weights(torch.cat(errors).double().numpy(), torch.cat(own).numpy())
    if np.ptp(weights) == 0:
        raise InputError(
            "Expected RUN to have errors that are lower for the true class at some times, but they "
            "are not. Check the labels, and that the model is told of classes at all."
        )
    return tuple(_rounded(weights.tolist())), sum(map(len, own))


def fit_bias(full: FullErrors) -> dict[str, tuple[float, ...]]:
    """The bias of each candidate: its mean score over all images, less that of all candidates.

    Labels are not used.

    Args:
        full: The errors, and the score.

    Returns:
        By name of the candidate, the bias in each of 20 equal parts of [0, 1).

    Raises:
        InputError: If the run does not permit it: means over other images, or over other trials,
            cannot be compared; or errors are not finite.
    """
    places = torch.tensor(full.places())
    number = torch.bincount(places, minlength=PARTS)
    names: Sequence[str] | None = None
    images, total = 0, torch.zeros(0)
    for set_name, rows, table in full.parts():
        own = candidates_of(full.run, set_name).names
        if names is None:
            names, total = own, torch.zeros(len(own), PARTS, dtype=torch.float64)
        if own != names:
            raise InputError(
                f"Expected RUN to hold images of the same candidates, to compare their means, but "
                f"set {set_name!r} has {len(own)} and the one before {len(names)}. Run one set."
            )
        values = table.scored(full.score_of(set_name)).dense().double()
        _check_finite(values, full)
        total.index_add_(1, places, values.sum(dim=0))
        images += len(rows)
    means = total / (number * images)
    bias = means - means.mean(dim=0)
    return {
        name: tuple(_rounded(own)) for name, own in zip(names or (), bias.tolist(), strict=True)
    }


def _check_finite(values: Tensor, full: FullErrors) -> None:
    """Refuse errors that are not finite, as those of ``x_0`` are where ``alpha`` is 0."""
    wrong = ~values.isfinite().flatten(0, 1).all(dim=0)
    if wrong.any():
        time = full.times[int(wrong.nonzero()[0])]
        raise InputError(
            f"Expected RUN to hold finite errors by {full.score.name!r}, but at time "
            f"{float(time):g} they are not. Take another loss: --score MeanError --score.loss l2."
        )


def strongest(bias: Mapping[str, Sequence[float]]) -> str:
    """What a bias does, in a sentence."""
    mean = {name: sum(own) / len(own) for name, own in bias.items()}
    low, high = min(mean, key=mean.__getitem__), max(mean, key=mean.__getitem__)
    return (
        f"Bias of {len(bias)} candidates, from {mean[low]:.3g} ({low!r}, favoured) to "
        f"{mean[high]:.3g} ({high!r})."
    )


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]
