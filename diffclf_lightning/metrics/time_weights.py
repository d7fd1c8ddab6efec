r"""Weights over time, learned from images with known labels (Clark and Jaini 2023).

With :math:`b_{ck}` the error of candidate ``c`` in the ``k``-th of equal parts of [0, 1), the
candidate has the probability :math:`p(c|x) \propto \exp(-\sum_k v_k b_{ck})`. The weights
:math:`v_k \ge 0` have the lowest negative log-likelihood plus a ridge penalty
:math:`\lambda \sum_k v_k^2`, where errors are in units of their standard deviation about the mean
of all candidates. The penalty is the one of ``RIDGES`` under which images that were left out are
likeliest.

An error of one trial is noisier than the mean of many, and weights that are learned from means are
too bold for few trials. So each image is met as often as a part has trials, with one trial in each
part.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from torch import Tensor

Array = NDArray[np.float64]

RIDGES = (1.0, 0.1, 0.01, 1e-3, 1e-4)
FOLDS = 5
MOST_VALUES = 2**22
"""Numbers that a fit holds."""
SMALLEST = 1e-3
"""A weight, in terms of the largest: with none at all a trial would name the first candidate."""


def repeats_and_step(images: int, candidates: int, parts: int) -> tuple[int, int]:
    """How often images are met, and every how manieth, so that a fit holds ``MOST_VALUES`` at most.

    Of many values, images are met less often, and then evenly spaced ones alone: a fit of a few
    that are met often knows little of others.

    Args:
        images: Number of images.
        candidates: Number of candidates.
        parts: Number of parts of the times.
    """
    size = images * candidates * parts
    return max(1, MOST_VALUES // size), ceil(size / MOST_VALUES)


def one_trial_a_part(values: Tensor, place: Sequence[int], most: int | None = None) -> Tensor:
    """Errors of an image at one trial in each part of the times, as often as there are trials.

    Args:
        values: Errors at all trials, shape ``(..., candidates, trials)``.
        place: Part of each trial, each from 0 up to the last at least once.
        most: Repeats at most. Defaults to None: as many as the fullest part has trials.

    Returns:
        Shape ``(..., repeats, candidates, parts)``; trials of parts that have fewer are met again.
    """
    trials = [[t for t, p in enumerate(place) if p == part] for part in range(max(place) + 1)]
    repeats = range(max(map(len, trials)))[:most]
    chosen = torch.tensor([[own[repeat % len(own)] for own in trials] for repeat in repeats])
    return values[..., chosen].transpose(-3, -2)


def fit_time_weights(errors: Array, own: NDArray[np.bool_]) -> Array:
    """Weights of the parts of the times.

    Args:
        errors: Errors in each part, NaN of candidates that an image has not, shape
            ``(images, repeats, candidates, parts)``.
        own: Candidates of the true label, shape ``(images, candidates)``. Images that have none
            say nothing, and are left out.

    Returns:
        Weights above 0, 1 on average, shape ``(parts,)``; all alike where errors say nothing.
    """
    known = own.any(axis=1)
    errors, own = errors[known], own[known]
    centred = errors - np.nanmean(errors, axis=2, keepdims=True) if len(own) else errors
    spread = float(np.nanstd(centred)) if len(own) else 0.0
    if not spread > 0:
        return np.ones(errors.shape[3])
    scaled = centred / spread
    found = softmax_regression(scaled, own, _best_ridge(scaled, own))
    if not found.max() > 0:
        return np.ones(errors.shape[3])
    above = np.maximum(found, SMALLEST * found.max())
    weights: Array = above / above.mean()
    return weights


def softmax_regression(errors: Array, own: NDArray[np.bool_], ridge: float) -> Array:
    """Weights of the lowest negative log-likelihood plus ``ridge`` times the sum of their squares.

    Args:
        errors: As in :func:`fit_time_weights`.
        own: Likewise, at least one a row.
        ridge: The penalty.

    Returns:
        Weights of at least 0, shape ``(parts,)``.
    """
    there, samples = _samples(errors), errors.shape[0] * errors.shape[1]
    mine = np.repeat(own, errors.shape[1], axis=0)
    values = np.where(there[..., None], errors.reshape(samples, *errors.shape[2:]), 0)

    def loss(weights: Array) -> tuple[float, Array]:
        logits = np.where(there, -values @ weights, -np.inf)
        every = logsumexp(logits, axis=1, keepdims=True)
        true = logsumexp(np.where(mine, logits, -np.inf), axis=1, keepdims=True)
        shares = np.where(mine, np.exp(logits - true), 0) - np.exp(logits - every)
        slope = np.tensordot(shares, values, axes=2) / samples
        value = float((every - true).mean()) + ridge * float(weights @ weights)
        return value, slope + 2 * ridge * weights

    start = np.ones(errors.shape[3])
    bounds = [(0, None)] * len(start)
    found: Array = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found


def _samples(errors: Array) -> NDArray[np.bool_]:
    """Which candidates each sample has, shape ``(images * repeats, candidates)``."""
    return ~np.isnan(errors[..., 0]).reshape(-1, errors.shape[2])


def _best_ridge(errors: Array, own: NDArray[np.bool_]) -> float:
    """The ridge under which images that were left out are likeliest, the largest of equals."""
    folds = np.arange(len(own)) % FOLDS
    if len(own) < FOLDS:
        return RIDGES[0]
    surprise = [
        sum(
            _surprise(errors[out], own[out], softmax_regression(errors[~out], own[~out], ridge))
            for out in (folds == fold for fold in range(FOLDS))
        )
        for ridge in RIDGES
    ]
    return RIDGES[int(np.argmin(surprise))]


def _surprise(errors: Array, own: NDArray[np.bool_], weights: Array) -> float:
    """Negative log-likelihood, summed over images and averaged over repeats."""
    logits = np.where(np.isnan(errors[..., 0]), -np.inf, -(errors @ weights))
    true = logsumexp(np.where(own[:, None], logits, -np.inf), axis=2)
    return float((logsumexp(logits, axis=2) - true).mean(axis=1).sum())
