r"""The forward process, what a model predicts of it, and the way back, in float32.

:math:`x_t = \sqrt{\bar\alpha_t} x_0 + \sqrt{1 - \bar\alpha_t} \epsilon`. Only ``alphas_cumprod``
of a diffusers scheduler matters. It is kept out of the module's buffers, so that no precision
plugin can round it: in half precision :math:`\sqrt{1 - \bar\alpha_t}` is 7% wrong at t = 0.
"""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import ReverseStep


class PredictionType(ABC):
    """What the network is trained to output."""

    @abstractmethod
    def target(self, x_0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The output of a perfect network; ``alpha`` and ``sigma`` scale ``x_0`` and noise."""

    @abstractmethod
    def noise(self, output: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The noise that the output stands for."""


class EpsilonPrediction(PredictionType):
    """The network outputs the noise."""

    def target(self, x_0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """See :meth:`PredictionType.target`."""
        return noise

    def noise(self, output: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """See :meth:`PredictionType.noise`."""
        return output


class VPrediction(PredictionType):
    r"""The network outputs :math:`v = \alpha \epsilon - \sigma x_0`."""

    def target(self, x_0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """See :meth:`PredictionType.target`."""
        return alpha * noise - sigma * x_0

    def noise(self, output: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """See :meth:`PredictionType.noise`."""
        return alpha * output + sigma * x_t


PREDICTION_TYPES: dict[str, PredictionType] = {
    "epsilon": EpsilonPrediction(),
    "v_prediction": VPrediction(),
}


class Schedule:
    """A diffusers noise schedule, reduced to what classification needs.

    Args:
        scheduler: Any diffusers scheduler with ``alphas_cumprod``.

    Raises:
        InputError: If it has none (flow matching), or the model predicts something unknown.
    """

    def __init__(self, scheduler: Any) -> None:
        name = type(scheduler).__name__
        if not hasattr(scheduler, "alphas_cumprod"):
            raise InputError(
                f"Expected a scheduler with `alphas_cumprod`, but got {name}. Models of other "
                "processes (flow matching) are not supported."
            )
        prediction_type = scheduler.config.get("prediction_type", "epsilon")
        if prediction_type not in PREDICTION_TYPES:
            raise InputError(
                f"Expected the scheduler's `prediction_type` to be one of "
                f"{', '.join(PREDICTION_TYPES)}, but got {prediction_type!r}."
            )
        self.scheduler = scheduler
        self.prediction = PREDICTION_TYPES[prediction_type]
        self._alphas_cumprod: Tensor = scheduler.alphas_cumprod.detach().to(torch.float32).cpu()
        self._reverse: Tensor | None = None

    @classmethod
    def from_pretrained(cls, path: str | Path, class_name: str, **kwargs: Any) -> "Schedule":
        """Load the scheduler of a pipeline.

        Args:
            path: Pipeline folder or hub id.
            class_name: Name of the scheduler's class in diffusers.
            **kwargs: Passed to diffusers, ``revision`` for instance.

        Returns:
            The schedule.
        """
        scheduler = getattr(diffusers, class_name)
        return cls(scheduler.from_pretrained(path, subfolder="scheduler", **kwargs))

    @property
    def num_train_timesteps(self) -> int:
        """Number of timesteps that the model was trained with."""
        return len(self._alphas_cumprod)

    def describe(self) -> dict[str, str]:
        """Prediction type and a short hash of the schedule."""
        digest = hashlib.blake2b(self._alphas_cumprod.cpu().numpy().tobytes(), digest_size=8)
        return {"predicts": type(self.prediction).__name__, "alphas_cumprod": digest.hexdigest()}

    def scales(self, timestep: Tensor, dims: int) -> tuple[Tensor, Tensor]:
        r""":math:`\sqrt{\bar\alpha_t}` and :math:`\sqrt{1-\bar\alpha_t}`, to broadcast.

        Args:
            timestep: Timesteps, int64, shape ``(batch,)``.
            dims: Number of dimensions of what they scale.

        Returns:
            Two float32 tensors of shape ``(batch, 1, ...)``.
        """
        if self._alphas_cumprod.device != timestep.device:
            self._alphas_cumprod = self._alphas_cumprod.to(timestep.device)
        abar = self._alphas_cumprod[timestep].reshape(-1, *(1,) * (dims - 1))
        return abar.sqrt(), (1 - abar).sqrt()

    def add_noise(self, x_0: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Diffuse ``x_0``; float32, shapes ``(batch, ...)`` and ``(batch,)``."""
        alpha, sigma = self.scales(timestep, x_0.ndim)
        return alpha * x_0.float() + sigma * noise.float()

    def target(self, x_0: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """What a perfect network outputs, float32, of the shape of ``x_0``."""
        return self.prediction.target(x_0.float(), noise.float(), *self.scales(timestep, x_0.ndim))

    def noise(self, output: Tensor, x_t: Tensor, timestep: Tensor) -> Tensor:
        """The noise that a network's output stands for, float32, of the shape of ``x_t``."""
        return self.prediction.noise(output.float(), x_t.float(), *self.scales(timestep, x_t.ndim))

    def reverse_step(self, output: Tensor, timestep: Tensor) -> ReverseStep:
        r"""The step to ``x_{t-1}`` of a network that predicts its variance.

        The output ``v`` lies between the two extremes (Nichol and Dhariwal 2021, eq. 15):
        :math:`\log \Sigma = f \log \beta_t + (1 - f) \log \tilde\beta_t` with
        :math:`f = (v + 1) / 2`.

        Args:
            output: The network's variance channels, shape ``(batch, ...)``.
            timestep: Timesteps, int64, shape ``(batch,)``.

        Returns:
            The step, float32.
        """
        if self._reverse is None or self._reverse.device != timestep.device:
            self._reverse = _reverse_coefficients(self.scheduler.betas).to(timestep.device)
        at_t = self._reverse[:, timestep].reshape(3, -1, *(1,) * (output.ndim - 1))
        log_beta, log_posterior, noise_scale = at_t
        fraction = (output.float() + 1) / 2
        log_variance = fraction * log_beta + (1 - fraction) * log_posterior
        return ReverseStep(log_variance, log_posterior, noise_scale)


def _reverse_coefficients(betas: Tensor) -> Tensor:
    r""":math:`\log \beta_t`, :math:`\log \tilde\beta_t` and the scale of the noise, ``(3, T)``.

    :math:`\tilde\beta_t = \beta_t (1 - \bar\alpha_{t-1}) / (1 - \bar\alpha_t)` is 0 at t = 0:
    there its logarithm is the one at t = 1, as Nichol and Dhariwal clip it. From the betas, since
    quotients of rounded cumulative products are wrong by 1e-4 of themselves.
    """
    beta = betas.detach().cpu().double()
    alpha = 1 - beta
    abar = alpha.cumprod(dim=0)
    before = torch.cat([abar.new_ones(1), abar[:-1]])
    posterior = beta * (1 - before) / (1 - abar)
    posterior = torch.cat([posterior[1:2], posterior[1:]])
    scale = beta / (alpha.sqrt() * (1 - abar).sqrt())
    return torch.stack([beta.log(), posterior.log(), scale]).float()
