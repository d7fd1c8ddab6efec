"""Weights over time, learned on one half of the images for the other, and the other way round."""

import numpy as np
import torch
from numpy.typing import NDArray

from diffclf_lightning.calibrate import PARTS
from diffclf_lightning.errors import InputError
from diffclf_lightning.figures.stored import Pool
from diffclf_lightning.metrics import fit_time_weights, one_trial_a_part, repeats_and_step


def learned_weights(pool: Pool, images: int) -> NDArray[np.float64]:
    """Weights of the trials, by those of their times, as :func:`fit_time_weights` has them.

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
    _, place = np.unique((pool.times * PARTS).astype(int), return_inverse=True)
    repeats, step = repeats_and_step(images, len(pool.labels), PARTS)
    errors: list[list[torch.Tensor]] = [[], []]
    truth: list[list[int]] = [[], []]
    for index, image in enumerate(pool.images()):
        if (index // 2) % step == 0:
            errors[index % 2].append(one_trial_a_part(image.values, place.tolist(), repeats))
            truth[index % 2].append(image.label)
    weights = []
    for other in (1, 0):
        own = pool.labels[None] == torch.tensor(truth[other])[:, None]
        found = fit_time_weights(torch.stack(errors[other]).double().numpy(), own.numpy())
        weights.append(found[place])
    return np.stack([each / each.mean() for each in weights])
