"""Weights over time that are learned from images with known labels (Clark and Jaini 2023).

With ``b_k`` the mean error of a candidate in the ``k``-th equal part of [0, 1), the probability of
the candidate is proportional to ``exp(-sum_k v_k b_k)``, and the weights ``v_k`` of at least 0 have
the lowest negative log-likelihood under a light ridge penalty, which decides between weights that
all answer rightly. What is learned on one half of the images is tested on the other, and the other
way round.
"""

from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from diffclf_lightning.errors import InputError
from diffclf_lightning.figures.stored import Pool

PARTS = 20
RIDGE = 1e-3
SMALLEST = 1e-3
"""A weight, in terms of the largest: with none at all a trial would name the first candidate."""
MOST_VALUES = 2**25
"""Numbers that a fit holds; of more images, evenly spaced ones are taken."""


def learned_weights(pool: Pool, images: int) -> NDArray[np.float64]:
    """Weights of the trials, by those of their times.

    Args:
        pool: The trials.
        images: Number of images in it.

    Returns:
        Weights of shape ``(2, trials)``: first those for images at even places, which are learned
        on the others, then those for images at odd places. The mean of each is 1.

    Raises:
        InputError: If a half has no image.
    """
    if images < 2:
        raise InputError(
            f"Expected at least 2 images of {pool.set_name!r}, to learn weights on one half and "
            f"test them on the other, but got {images}. Store the errors of more."
        )
    part, place = np.unique((pool.times * PARTS).astype(int), return_inverse=True)
    means, truth = _collected(pool, place, len(part), images)
    labels = pool.labels.numpy()
    weights = []
    for other in (1, 0):
        own = labels[None] == truth[other][:, None]
        known = own.any(axis=1)  # of others nothing can be learned
        weights.append(fit_weights(means[other][known], own[known])[place])
    return np.stack([each / each.mean() for each in weights])


def fit_weights(means: NDArray[np.float64], own: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights of the lowest negative log-likelihood.

    Args:
        means: Mean error in each part, shape ``(images, candidates, parts)``.
        own: Candidates of the true label, shape ``(images, candidates)``.

    Returns:
        Weights above 0, the largest of them 1, shape ``(parts,)``.
    """
    centred = means - means.mean(axis=1, keepdims=True)
    scaled = centred / max(float(centred.std()), np.finfo(float).tiny)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = -scaled @ weights
        every = logsumexp(logits, axis=1, keepdims=True)
        true = logsumexp(np.where(own, logits, -np.inf), axis=1, keepdims=True)
        shares = np.where(own, np.exp(logits - true), 0) - np.exp(logits - every)
        slope = np.einsum("ic,icp->p", shares, scaled) / len(own)
        value = float((every - true).mean()) + RIDGE * float(weights @ weights)
        return value, slope + 2 * RIDGE * weights

    start = np.ones(means.shape[2])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start)).x
    largest = float(found.max())
    if not len(own) or largest <= 0:
        return start
    fitted: NDArray[np.float64] = np.maximum(found / largest, SMALLEST)
    return fitted


def _collected(
    pool: Pool, place: NDArray[np.int64], parts: int, images: int
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.int64]]]:
    """Mean errors by part, and true labels, of images at even and at odd places."""
    number = np.bincount(place)
    mixing = np.zeros((len(place), parts))
    mixing[np.arange(len(place)), place] = 1 / number[place]
    step = ceil(images * len(pool.labels) * parts / MOST_VALUES)
    means: list[list[NDArray[np.float64]]] = [[], []]
    truth: list[list[int]] = [[], []]
    for index, image in enumerate(pool.images()):
        if (index // 2) % step == 0:
            means[index % 2].append(image.values.double().numpy() @ mixing)
            truth[index % 2].append(image.label)
    return [np.stack(half) for half in means], [np.array(half) for half in truth]
