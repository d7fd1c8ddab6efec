r"""Losses that compare the drawn noise with what a model says, one number an evaluation.

The error of a conditioning at a trial is the mean over all elements of
:math:`\ell(\epsilon, \epsilon_\theta(x_t, t, c))`; Li et al. (ICCV 2023) use l2 and l1, and for
models that predict their variance the variational bound too. All are computed in float32 whatever
the precision of the model.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation.bound import variational_bound
from diffclf_lightning.evaluation.prediction import Prediction

NoiseFunction = Callable[[Tensor, Tensor], Tensor]
"""A function of (noise, predicted noise) that gives one error a row."""


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


class Loss(ABC):
    """Compares the drawn noise with a prediction."""

    name: str
    needs_variance: bool = False
    """Whether the model has to predict its variance."""

    @abstractmethod
    def __call__(self, noise: Tensor, prediction: Prediction) -> Tensor:
        """Error of each row.

        Args:
            noise: Drawn noise, shape ``(batch, ...)``.
            prediction: What the model says of the noised samples.

        Returns:
            Errors, float32, shape ``(batch,)``.
        """


class NoiseLoss(Loss):
    """A loss of the noise alone.

    Args:
        function: Function of (noise, predicted noise) that gives one error a row.
        name: Name of the loss; the function's own when not given.
    """

    def __init__(self, function: NoiseFunction, name: str | None = None) -> None:
        self.function = function
        self.name = name or str(getattr(function, "__name__", repr(function)))

    def __call__(self, noise: Tensor, prediction: Prediction) -> Tensor:
        """See :class:`Loss`."""
        return self.function(noise, prediction.noise)


class VariationalBound(Loss):
    """The variational bound in bits per dimension, by the model's own variance."""

    name = "bound"
    needs_variance = True

    def __call__(self, noise: Tensor, prediction: Prediction) -> Tensor:
        """See :class:`Loss`.

        Raises:
            InputError: If the model predicts no variance.
        """
        if prediction.reverse is None:
            raise InputError(
                f"Expected a model that predicts its variance for loss {self.name!r}, but got a "
                "prediction of the noise alone. Choose another loss."
            )
        return variational_bound(noise, prediction.noise, prediction.reverse)


class Sum(Loss):
    """The sum of several losses.

    Args:
        losses: The losses.

    Raises:
        InputError: If there is none.
    """

    def __init__(self, losses: Sequence[Loss]) -> None:
        if not losses:
            raise InputError("Expected argument `losses` to have a loss, but got none. Give some.")
        self.losses = tuple(losses)
        self.name = "+".join(loss.name for loss in self.losses)
        self.needs_variance = any(loss.needs_variance for loss in self.losses)

    def __call__(self, noise: Tensor, prediction: Prediction) -> Tensor:
        """See :class:`Loss`."""
        return torch.stack([loss(noise, prediction) for loss in self.losses]).sum(dim=0)


KNOWN = (
    NoiseLoss(l2),
    NoiseLoss(l1),
    NoiseLoss(huber),
    VariationalBound(),
    Sum([NoiseLoss(l2), VariationalBound()]),
)
LOSSES: dict[str, Loss] = {loss.name: loss for loss in KNOWN}


def get_loss(loss: str | Loss | NoiseFunction, argument: str = "loss") -> Loss:
    """The loss of that name, or what makes a loss of the function.

    Args:
        loss: ``"l2"``, ``"l1"``, ``"huber"``, ``"bound"``, ``"l2+bound"``, a loss, or a function
            of ``(noise, predicted noise)`` that returns one error a row.
        argument: Name of the argument, for messages.

    Returns:
        The loss.

    Raises:
        InputError: If no loss has that name.
    """
    if isinstance(loss, Loss):
        return loss
    if callable(loss):
        return NoiseLoss(loss)
    if loss not in LOSSES:
        raise InputError(
            f"Expected argument `{argument}` from {', '.join(LOSSES)}, or a function of (noise, "
            f"predicted noise), but got {loss!r}."
        )
    return LOSSES[loss]


def get_losses(
    loss: str | Loss | NoiseFunction, other_losses: Sequence[str | Loss | NoiseFunction] = ()
) -> list[Loss]:
    """The losses of one pass, the one that decides first.

    Args:
        loss: As in :func:`get_loss`.
        other_losses: Further ones.

    Returns:
        The losses.

    Raises:
        InputError: If no loss has a name, or two have the same.
    """
    if isinstance(other_losses, str):
        raise InputError(
            f"Expected argument `other_losses` to be a list, but got {other_losses!r}. Put it in "
            "brackets."
        )
    losses = [get_loss(loss), *(get_loss(one, "other_losses") for one in other_losses)]
    names = [one.name for one in losses]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InputError(
                "Expected arguments `loss` and `other_losses` to name different losses, but got "
                f"{name!r} twice. Drop one, or give a function a name with `NoiseLoss`."
            )
    return losses


def _mean(elements: Tensor) -> Tensor:
    return elements.flatten(1).mean(dim=1)
