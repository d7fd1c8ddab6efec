r"""What is known of a trial, and what a network says of it.

Symbols: :math:`x_t = \alpha_t x_0 + \sigma_t \epsilon` with a clean sample ``x_0``, drawn
``noise`` :math:`\epsilon` and a time ``t`` in [0, 1). The *velocity* is the derivative of
:math:`x_t` along the schedule's path, :math:`\dot\alpha x_0 + \dot\sigma \epsilon`: for variance
preserving schedules, along the angle with :math:`\alpha = \cos\phi`, it is v of Salimans and Ho
(2022), :math:`\alpha \epsilon - \sigma x_0`; for flow matching it is :math:`\epsilon - x_0`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor


@dataclass
class ReverseStep:
    r"""The true step from ``x_t`` to the sample one timestep earlier, each of shape ``(trials,)``.

    Args:
        log_beta: Logarithm of :math:`\beta_t`.
        log_posterior_variance: Logarithm of the variance of :math:`q(x_{t-1} | x_t, x_0)`.
        noise_scale: How far the mean of the step moves with the noise,
            :math:`\beta_t / (\sqrt{\alpha_t} \sqrt{1 - \bar\alpha_t})`.
    """

    log_beta: Tensor
    log_posterior_variance: Tensor
    noise_scale: Tensor

    def log_variance(self, output: Tensor) -> Tensor:
        r"""The variance that a network gives the step (Nichol and Dhariwal 2021, eq. 15).

        Its output ``v`` lies between the two extremes: :math:`\log \Sigma = f \log \beta_t +
        (1 - f) \log \tilde\beta_t` with :math:`f = (v + 1) / 2`.

        Args:
            output: The network's variance channels, shape ``(trials, ...)``.

        Returns:
            Logarithm of the variance, float32, of the same shape.
        """
        fraction = (output.float() + 1) / 2
        upper, lower = (
            broadcast(self.log_beta, output),
            broadcast(self.log_posterior_variance, output),
        )
        return fraction * upper + (1 - fraction) * lower


@dataclass
class Timesteps:
    r"""Times as a schedule sees them; every tensor has shape ``(trials,)``.

    Args:
        time: Times in [0, 1), float32.
        alpha: Scale :math:`\alpha_t` of ``x_0``, float32.
        sigma: Scale :math:`\sigma_t` of the noise, float32.
        alpha_rate: Derivative of ``alpha`` along the path, float32.
        sigma_rate: Derivative of ``sigma`` along the path, float32.
        timestep: What the network is told.
        reverse: The true reverse step, or None where the schedule has no discrete steps.
    """

    time: Tensor
    alpha: Tensor
    sigma: Tensor
    alpha_rate: Tensor
    sigma_rate: Tensor
    timestep: Tensor
    reverse: ReverseStep | None = None

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, index: Any) -> "Timesteps":
        """Some of the times."""
        some: Timesteps = _mapped(self, lambda tensor: tensor[index])
        return some

    def to(self, device: torch.device) -> "Timesteps":
        """The same on a device."""
        moved: Timesteps = _mapped(self, lambda tensor: tensor.to(device))
        return moved


@dataclass(frozen=True)
class Noised:
    """Samples with known noise at known times.

    Args:
        x_0: Clean images or latents, shape ``(batch, ...)``.
        noise: Drawn noise, of the same shape.
        at: Their times, of length ``batch``.
    """

    x_0: Tensor
    noise: Tensor
    at: Timesteps

    @property
    def alpha(self) -> Tensor:
        """Scale of ``x_0``, shape ``(batch, 1, ...)``."""
        return broadcast(self.at.alpha, self.x_0)

    @property
    def sigma(self) -> Tensor:
        """Scale of the noise, shape ``(batch, 1, ...)``."""
        return broadcast(self.at.sigma, self.x_0)

    @cached_property
    def x_t(self) -> Tensor:
        """What the network sees, float32."""
        return self.alpha * self.x_0.float() + self.sigma * self.noise.float()

    @property
    def velocity(self) -> Tensor:
        """Derivative along the schedule's path, float32."""
        return self.velocity_of(self.x_0, self.noise)

    def velocity_of(self, x_0: Tensor, noise: Tensor) -> Tensor:
        """Velocity of another sample and other noise at the same times, float32."""
        of_x_0 = broadcast(self.at.alpha_rate, x_0) * x_0.float()
        return of_x_0 + broadcast(self.at.sigma_rate, noise) * noise.float()


class Target(ABC):
    """What a network is trained to output."""

    @abstractmethod
    def of(self, noised: Noised) -> Tensor:
        """The output of a perfect network, float32, of the shape of ``x_0``."""

    @abstractmethod
    def noise(self, output: Tensor, noised: Noised) -> Tensor:
        """The noise that an output stands for, float32."""

    @abstractmethod
    def x_0(self, output: Tensor, noised: Noised) -> Tensor:
        """The clean sample that an output stands for, float32."""


class NoiseTarget(Target):
    """The network outputs the noise."""

    def of(self, noised: Noised) -> Tensor:
        return noised.noise.float()

    def noise(self, output: Tensor, noised: Noised) -> Tensor:
        return output.float()

    def x_0(self, output: Tensor, noised: Noised) -> Tensor:
        return (noised.x_t - noised.sigma * output.float()) / noised.alpha


class SampleTarget(Target):
    """The network outputs the clean sample."""

    def of(self, noised: Noised) -> Tensor:
        return noised.x_0.float()

    def noise(self, output: Tensor, noised: Noised) -> Tensor:
        return (noised.x_t - noised.alpha * output.float()) / noised.sigma

    def x_0(self, output: Tensor, noised: Noised) -> Tensor:
        return output.float()


class VTarget(Target):
    r"""The network outputs :math:`v = \alpha \epsilon - \sigma x_0` (variance preserving)."""

    def of(self, noised: Noised) -> Tensor:
        return noised.alpha * noised.noise.float() - noised.sigma * noised.x_0.float()

    def noise(self, output: Tensor, noised: Noised) -> Tensor:
        return noised.alpha * output.float() + noised.sigma * noised.x_t

    def x_0(self, output: Tensor, noised: Noised) -> Tensor:
        return noised.alpha * noised.x_t - noised.sigma * output.float()


class FlowTarget(Target):
    r"""The network outputs :math:`\epsilon - x_0` (flow matching, :math:`\alpha + \sigma = 1`).

    Args:
        sign: -1 for networks that output :math:`x_0 - \epsilon`.
    """

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign

    def of(self, noised: Noised) -> Tensor:
        return self.sign * (noised.noise.float() - noised.x_0.float())

    def noise(self, output: Tensor, noised: Noised) -> Tensor:
        return noised.x_t + noised.alpha * self.sign * output.float()

    def x_0(self, output: Tensor, noised: Noised) -> Tensor:
        return noised.x_t - noised.sigma * self.sign * output.float()


@dataclass(frozen=True)
class Prediction:
    """What a network says of noised samples.

    Args:
        noised: The samples.
        output: The network's output in its own target, shape ``(batch, ...)``.
        target: What that output stands for.
        log_variance: Logarithm of the variance that the network gives the reverse step, float32,
            shape ``(batch, ...)``, or None.
    """

    noised: Noised
    output: Tensor
    target: Target
    log_variance: Tensor | None = None

    @cached_property
    def noise(self) -> Tensor:
        """Predicted noise, float32."""
        return self.target.noise(self.output, self.noised)

    @cached_property
    def x_0(self) -> Tensor:
        """Predicted clean sample, float32."""
        return self.target.x_0(self.output, self.noised)

    @cached_property
    def velocity(self) -> Tensor:
        """Predicted velocity, float32."""
        return self.noised.velocity_of(self.x_0, self.noise)


def broadcast(values: Tensor, like: Tensor) -> Tensor:
    """Values a row, shaped to multiply a tensor.

    Args:
        values: Shape ``(batch,)``.
        like: Shape ``(batch, ...)``.

    Returns:
        Shape ``(batch, 1, ...)``.
    """
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def _mapped(record: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The same record with a function applied to its tensors, and to those of its records."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    for name, value in values.items():
        if isinstance(value, Tensor):
            values[name] = function(value)
        elif value is not None:
            values[name] = _mapped(value, function)
    return type(record)(**values)
