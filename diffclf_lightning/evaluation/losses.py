r"""Losses that compare the drawn noise with the predicted noise, one number an evaluation.

The error of a conditioning at a trial is the mean over all elements of
:math:`\ell(\epsilon, \epsilon_\theta(x_t, t, c))`; Li et al. (ICCV 2023) use l2 and l1.
All are computed in float32 whatever the precision of the model.
"""

from collections.abc import Callable

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from diffclf_lightning.errors import InputError

Loss = Callable[[Tensor, Tensor], Tensor]


def l2(noise: Tensor, prediction: Tensor) -> Tensor:
    """Mean squared error of each row.

    Args:
        noise: Drawn noise, shape ``(batch, ...)``.
        prediction: Predicted noise, of the same shape.

    Returns:
        Errors, float32, shape ``(batch,)``.
    """
    return _mean(F.mse_loss(prediction.float(), noise.float(), reduction="none"))


def l1(noise: Tensor, prediction: Tensor) -> Tensor:
    """Mean absolute error of each row; shapes as in :func:`l2`."""
    return _mean(F.l1_loss(prediction.float(), noise.float(), reduction="none"))


def huber(noise: Tensor, prediction: Tensor) -> Tensor:
    """Mean Huber loss (delta 1) of each row; shapes as in :func:`l2`."""
    return _mean(F.huber_loss(prediction.float(), noise.float(), reduction="none"))


LOSSES: dict[str, Loss] = {"l2": l2, "l1": l1, "huber": huber}


def get_loss(loss: str | Loss) -> Loss:
    """The loss of that name, or the callable itself.

    Args:
        loss: ``"l2"``, ``"l1"``, ``"huber"``, or a function of ``(noise, prediction)`` that
            returns one error a row.

    Returns:
        The loss function.

    Raises:
        InputError: If no loss has that name.
    """
    if callable(loss):
        return loss
    if loss not in LOSSES:
        raise InputError(
            f"Expected argument `loss` to be one of {', '.join(LOSSES)} or a function of "
            f"(noise, prediction), but got {loss!r}."
        )
    return LOSSES[loss]


def _mean(elements: Tensor) -> Tensor:
    return elements.flatten(1).mean(dim=1)
