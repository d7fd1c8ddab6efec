"""What a model says in one evaluation: the noise, and for some the step that would take it away."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ReverseStep:
    r"""What the step from ``x_t`` to ``x_{t-1}`` needs beside the noise.

    Args:
        log_variance: Logarithm of the variance that the model gives the step, float32, shape
            ``(batch, ...)``.
        posterior_log_variance: The same of the true :math:`q(x_{t-1} | x_t, x_0)`, shape
            ``(batch, 1, ...)``.
        noise_scale: How far the mean of the step moves with the noise,
            :math:`\beta_t / (\sqrt{\alpha_t} \sqrt{1 - \bar\alpha_t})`, shape ``(batch, 1, ...)``.
    """

    log_variance: Tensor
    posterior_log_variance: Tensor
    noise_scale: Tensor


@dataclass(frozen=True)
class Prediction:
    """What a model says of some noised samples.

    Args:
        noise: Predicted noise, float32, shape ``(batch, ...)``.
        reverse: The reverse step, of a model that predicts its variance.
    """

    noise: Tensor
    reverse: ReverseStep | None = None
