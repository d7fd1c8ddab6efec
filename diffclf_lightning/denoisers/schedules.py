r"""Schedules: from a time in [0, 1) to the scales of ``x_0`` and noise, in float32.

:math:`x_t = \alpha_t x_0 + \sigma_t \epsilon`. Nothing here is a buffer of a module, so that no
precision plugin can round it: in half precision :math:`\sqrt{1 - \bar\alpha_t}` is 7% wrong at the
first timesteps.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import (
    FlowTarget,
    NoiseTarget,
    ReverseStep,
    SampleTarget,
    Target,
    Timesteps,
    VTarget,
)
from diffclf_lightning.ranges import check_number

Times = Sequence[Fraction] | Tensor
"""Exact times, or a tensor of times on the CPU."""


class Schedule(ABC):
    """How samples are noised, and what the network is told of it.

    Args:
        target: What the network outputs.
        scheduler: The diffusers scheduler that is saved with the model, or None.
    """

    def __init__(self, target: Target, scheduler: Any = None) -> None:
        self.target, self.scheduler = target, scheduler

    @abstractmethod
    def timestep(self, times: Times) -> Tensor:
        """What the network is told of times in [0, 1), shape ``(trials,)``, on the CPU.

        It is int64 for discrete steps, else float32.
        """

    @abstractmethod
    def scales(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """``alpha`` and ``sigma`` of what the network is told, float32, shape ``(trials,)``."""

    @abstractmethod
    def rates(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of ``alpha`` and ``sigma`` along the path; their velocity."""

    def reverse(self, timestep: Tensor) -> ReverseStep | None:
        """The true step back, or None where there are no discrete steps."""
        return None

    def describe(self) -> dict[str, str]:
        """What decides the results, as plain values."""
        return {"schedule": type(self).__name__, "predicts": type(self.target).__name__}

    def __call__(self, times: Times) -> Timesteps:
        """All that is known of times in [0, 1), on the CPU."""
        return self.of(self.timestep(times), as_tensor(times).float())

    def of(self, timestep: Tensor, time: Tensor | None = None) -> Timesteps:
        """All that is known of what the network is told, shape ``(trials,)``, on its device.

        ``time`` are the times themselves. Defaults to None: not a number.
        """
        alpha, sigma = self.scales(timestep)
        if time is None:
            time = torch.full_like(alpha, torch.nan)
        rates, reverse = self.rates(alpha, sigma), self.reverse(timestep)
        return Timesteps(time, alpha, sigma, *rates, timestep, reverse)


class VariancePreserving(Schedule):
    r"""Discrete steps of :math:`\alpha^2 + \sigma^2 = 1`, as a diffusers scheduler has them.

    Time ``t`` is step :math:`\lfloor t T \rfloor` of ``T``. Of the scheduler only
    ``alphas_cumprod``, ``betas`` and ``prediction_type`` matter.

    Args:
        scheduler: Any diffusers scheduler with ``alphas_cumprod``.
    """

    targets: dict[str, Target] = {  # noqa: RUF012
        "epsilon": NoiseTarget(),
        "v_prediction": VTarget(),
        "sample": SampleTarget(),
    }

    def __init__(self, scheduler: Any) -> None:
        if not hasattr(scheduler, "alphas_cumprod"):
            raise InputError(
                "Expected a scheduler with `alphas_cumprod`, or one of flow matching, but got "
                f"{type(scheduler).__name__}. Take the scheduler of the model's own pipeline; "
                "models whose own is of another kind (EDM's of Playground 2.5) are not supported."
            )
        prediction_type = scheduler.config.get("prediction_type", "epsilon")
        if prediction_type not in self.targets:
            raise InputError(
                f"Expected the scheduler's `prediction_type` to be one of "
                f"{', '.join(self.targets)}, but got {prediction_type!r}."
            )
        super().__init__(self.targets[prediction_type], scheduler)
        self._alphas_cumprod: Tensor = scheduler.alphas_cumprod.detach().to(torch.float32).cpu()
        self._reverse: Tensor | None = None

    def timestep(self, times: Times) -> Tensor:
        steps = len(self._alphas_cumprod)
        if isinstance(times, Tensor):
            return (times.double() * steps).long().clamp(max=steps - 1)
        return torch.tensor([int(time * steps) for time in times], dtype=torch.int64)

    def scales(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        abar = self._alphas_cumprod.to(timestep.device)[timestep]
        return abar.sqrt(), (1 - abar).sqrt()

    def rates(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return -sigma, alpha  # along the angle, of which they are cosine and sine

    def reverse(self, timestep: Tensor) -> ReverseStep:
        r"""The true step to the timestep before.

        :math:`\tilde\beta_t = \beta_t (1 - \bar\alpha_{t-1}) / (1 - \bar\alpha_t)` is 0 at t = 0:
        there its logarithm is the one at t = 1, as Nichol and Dhariwal (2021) clip it.
        """
        if self._reverse is None:
            # From the betas: quotients of rounded cumulative products are wrong by 1e-4.
            beta = self.scheduler.betas.detach().cpu().double()
            alpha = 1 - beta
            abar = alpha.cumprod(dim=0)
            before = torch.cat([abar.new_ones(1), abar[:-1]])
            posterior = beta * (1 - before) / (1 - abar)
            posterior = torch.cat([posterior[1:2], posterior[1:]])
            scale = beta / (alpha.sqrt() * (1 - abar).sqrt())
            self._reverse = torch.stack([beta.log(), posterior.log(), scale]).float()
        return ReverseStep(*self._reverse[:, timestep.cpu()].to(timestep.device))

    def describe(self) -> dict[str, str]:
        digest = hashlib.blake2b(self._alphas_cumprod.numpy().tobytes(), digest_size=8)
        return {**super().describe(), "alphas_cumprod": digest.hexdigest()}


class FlowMatching(Schedule):
    r"""Rectified flow, :math:`x_t = (1 - t) x_0 + t \epsilon` (SD3, FLUX).

    The shift of a diffusers scheduler is the sampler's, and no part of the model.

    Args:
        scheduler: The diffusers scheduler, or None.
        time_scale: The network is told the time multiplied by this.
        sign: -1 for networks that output :math:`x_0 - \epsilon`.
        reversed_time: Whether the network is told 1 - t instead of t (Lumina-Image 2, SiT).
    """

    def __init__(
        self,
        scheduler: Any = None,
        time_scale: float = 1000.0,
        sign: int = 1,
        reversed_time: bool = False,
    ) -> None:
        super().__init__(FlowTarget(sign), scheduler)
        check_number("time_scale", time_scale, above=0)
        self.time_scale, self.reversed_time = time_scale, reversed_time

    def timestep(self, times: Times) -> Tensor:
        told = as_tensor(times)
        if self.reversed_time:
            told = 1 - told
        return (told * self.time_scale).float()

    def scales(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        told = timestep.float() / self.time_scale
        return (told, 1 - told) if self.reversed_time else (1 - told, told)

    def rates(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return -torch.ones_like(alpha), torch.ones_like(sigma)

    def describe(self) -> dict[str, str]:
        described = {**super().describe(), "time_scale": str(self.time_scale)}
        return {**described, "told": "1 - t"} if self.reversed_time else described


class EDM(Schedule):
    r"""Variance exploding, :math:`x_t = x_0 + \sigma \epsilon` (Karras et al. 2022, eq. 5).

    :math:`\sigma(t) = (\sigma_{min}^{1/\rho} + t (\sigma_{max}^{1/\rho} -
    \sigma_{min}^{1/\rho}))^\rho`. The network is told :math:`\ln(\sigma) / 4`, and gives ``x_0``.

    Args:
        sigma_min: Smallest scale of the noise.
        sigma_max: Largest scale of the noise.
        rho: How much of the times lies at small scales.
        scheduler: The diffusers scheduler, or None.
    """

    def __init__(
        self,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        rho: float = 7.0,
        scheduler: Any = None,
    ) -> None:
        super().__init__(SampleTarget(), scheduler)
        check_number("sigma_min", sigma_min, above=0)
        check_number("sigma_max", sigma_max, above=sigma_min)
        check_number("rho", rho, above=0)
        self.sigma_min, self.sigma_max, self.rho = sigma_min, sigma_max, rho

    def timestep(self, times: Times) -> Tensor:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        sigma: Tensor = (low + as_tensor(times) * (high - low)) ** self.rho
        return sigma.log().div(4).float()

    def scales(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(timestep), (4 * timestep).exp()

    def rates(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(alpha), torch.ones_like(sigma)

    def describe(self) -> dict[str, str]:
        limits = f"{self.sigma_min:g} to {self.sigma_max:g}, rho {self.rho:g}"
        return {**super().describe(), "sigma": limits}


def schedule_of(scheduler: Any) -> Schedule:
    """The schedule that a diffusers scheduler belongs to.

    Flow matching where the scheduler says so, else variance preserving: some schedulers of flow
    models carry ``alphas_cumprod`` that mean nothing. One of neither kind is an InputError.
    """
    config = scheduler.config
    flow = (
        config.get("prediction_type") == "flow_prediction"
        or config.get("use_flow_sigmas")
        or "FlowMatch" in type(scheduler).__name__
    )
    return FlowMatching(scheduler) if flow else VariancePreserving(scheduler)


def as_tensor(times: Times) -> Tensor:
    """Times in double precision, shape ``(trials,)``."""
    if isinstance(times, Tensor):
        return times.double()
    return torch.tensor([float(time) for time in times], dtype=torch.float64)
