r"""Losses: one number an evaluation, a function of what is known and what the network said.

The error of a conditioning at a trial is the mean over all elements of
:math:`\ell(\epsilon, \epsilon_\theta(x_t, t, c))`. Li et al. (ICCV 2023) use l2 and l1 of the
noise and, for models that predict their variance, the variational bound. A loss of ``x_0``, of the
velocity or of the network's own target is the same error with another weight over time: for a flow
with :math:`\alpha = 1 - \sigma`, squared errors of the velocity are those of the noise over
:math:`(1 - \sigma)^2`, and those of ``x_0`` over :math:`\sigma^2`. All are computed in float32
whatever the precision of the model.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation.noised import Noised, Prediction, broadcast

Quantity = Literal["noise", "x_0", "velocity", "target"]
ErrorFunction = Callable[[Tensor, Tensor], Tensor]
"""A function of (truth, prediction), both ``(batch, ...)``, that gives one error a row."""


def l2(truth: Tensor, prediction: Tensor) -> Tensor:
    """Mean squared error of each row.

    Args:
        truth: Drawn noise, for instance, shape ``(batch, ...)``.
        prediction: Its prediction, of the same shape.

    Returns:
        Errors, float32, shape ``(batch,)``.
    """
    return _mean(F.mse_loss(prediction.float(), truth.float(), reduction="none"))


def l1(truth: Tensor, prediction: Tensor) -> Tensor:
    """Mean absolute error of each row; shapes as in :func:`l2`."""
    return _mean(F.l1_loss(prediction.float(), truth.float(), reduction="none"))


def huber(truth: Tensor, prediction: Tensor) -> Tensor:
    """Mean Huber loss (delta 1) of each row; shapes as in :func:`l2`."""
    return _mean(F.huber_loss(prediction.float(), truth.float(), reduction="none"))


class Loss(ABC):
    """Compares what is known of a trial with what the network said."""

    name: str
    needs_variance: bool = False
    """Whether the model has to predict its variance."""

    @abstractmethod
    def __call__(self, noised: Noised, prediction: Prediction) -> Tensor:
        """Error of each row.

        Args:
            noised: What is known of ``batch`` trials.
            prediction: What the network said of them.

        Returns:
            Errors, float32, shape ``(batch,)``.
        """


class ElementwiseLoss(Loss):
    """An error of the noise, of ``x_0``, of the velocity or of the network's own target.

    Args:
        function: Function of (truth, prediction) that gives one error a row.
        of: What is compared; ``target`` is what the network was trained to output, whatever that
            is.
        name: Name of the loss. Defaults to None: the function's own, with ``of`` behind it unless
            that is the noise.
    """

    def __init__(
        self, function: ErrorFunction, of: Quantity = "noise", name: str | None = None
    ) -> None:
        self.function, self.of = function, of
        own = str(getattr(function, "__name__", repr(function)))
        self.name = name or (own if of == "noise" else f"{own}_{of}")

    def __call__(self, noised: Noised, prediction: Prediction) -> Tensor:
        if self.of == "target":
            return self.function(prediction.target.of(noised), prediction.output.float())
        return self.function(getattr(noised, self.of), getattr(prediction, self.of))


class VariationalBound(Loss):
    r"""The variational bound of one reverse step in bits per dimension, by the model's variance.

    :math:`KL(q(x_{t-1} | x_t, x_0) \| p_\theta(x_{t-1} | x_t, c))` of two diagonal Gaussians (Ho
    et al. 2020; Nichol and Dhariwal 2021). Their means differ by the error of the noise alone,
    times the step's ``noise_scale``; the ``x_0`` that the prediction stands for is not clipped.
    """

    name = "bound"
    needs_variance = True

    def __call__(self, noised: Noised, prediction: Prediction) -> Tensor:
        """See :class:`Loss`.

        Raises:
            InputError: If the model predicts no variance, or the schedule has no discrete steps.
        """
        reverse, log_variance = noised.at.reverse, prediction.log_variance
        if reverse is None or log_variance is None:
            raise InputError(
                f"Expected a model that predicts its variance for loss {self.name!r}, but got a "
                "prediction of the noise alone. Choose another loss."
            )
        surplus = log_variance - broadcast(reverse.log_posterior_variance, log_variance)
        scale = broadcast(reverse.noise_scale, log_variance)
        shift = scale * (noised.noise.float() - prediction.noise)
        nats = (surplus - 1 + (-surplus).exp() + shift.square() * (-log_variance).exp()) / 2
        return _mean(nats) / math.log(2)


class Sum(Loss):
    """The sum of several losses.

    Args:
        losses: The losses, at least one.

    Raises:
        InputError: If there is none.
    """

    def __init__(self, losses: Sequence[Loss]) -> None:
        if not losses:
            raise InputError("Expected argument `losses` to have a loss, but got none. Give some.")
        self.losses = tuple(losses)
        self.name = "+".join(loss.name for loss in self.losses)
        self.needs_variance = any(loss.needs_variance for loss in self.losses)

    def __call__(self, noised: Noised, prediction: Prediction) -> Tensor:
        return torch.stack([loss(noised, prediction) for loss in self.losses]).sum(dim=0)


KNOWN: tuple[Loss, ...] = (
    *(ElementwiseLoss(function) for function in (l2, l1, huber)),
    VariationalBound(),
    Sum([ElementwiseLoss(l2), VariationalBound()]),
    *(ElementwiseLoss(function, "x_0") for function in (l2, l1, huber)),
    *(ElementwiseLoss(function, "velocity") for function in (l2, l1, huber)),
    *(ElementwiseLoss(function, "target") for function in (l2, l1, huber)),
)
LOSSES: dict[str, Loss] = {loss.name: loss for loss in KNOWN}


def get_loss(loss: str | Loss | ErrorFunction, argument: str = "loss") -> Loss:
    """The loss of that name, or what makes a loss of the function.

    Args:
        loss: A name of ``LOSSES`` (``"l2"``, ``"l1"``, ``"huber"``, ``"bound"``, ``"l2+bound"``,
            ``"l2_x_0"``, ...), a loss, or a function of (noise, predicted noise) that returns one
            error a row.
        argument: Name of the argument, for messages.

    Returns:
        The loss.

    Raises:
        InputError: If no loss has that name.
    """
    if isinstance(loss, Loss):
        return loss
    if callable(loss):
        return ElementwiseLoss(loss)
    if loss not in LOSSES:
        raise InputError(
            f"Expected argument `{argument}` to be one of {', '.join(LOSSES)}, or a function of "
            f"(noise, predicted noise), but got {loss!r}."
        )
    return LOSSES[loss]


def get_losses(
    losses: Sequence[str | Loss | ErrorFunction], argument: str = "losses"
) -> list[Loss]:
    """Losses of one pass.

    Args:
        losses: As in :func:`get_loss`, each once.
        argument: Name of the argument, for messages.

    Returns:
        The losses.

    Raises:
        InputError: If no loss has a name, or two have the same.
    """
    if isinstance(losses, str):
        raise InputError(
            f"Expected argument `{argument}` to be a list, but got {losses!r}. Put it in brackets."
        )
    found = [get_loss(one, argument) for one in losses]
    names = [one.name for one in found]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InputError(
                f"Expected argument `{argument}` to name different losses, but got {name!r} twice. "
                "Drop one, or give a function a name with `ElementwiseLoss`."
            )
    return found


def _mean(elements: Tensor) -> Tensor:
    return elements.flatten(1).mean(dim=1)
