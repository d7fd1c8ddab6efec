r"""The variational bound of one reverse step, in bits per dimension.

:math:`KL(q(x_{t-1} | x_t, x_0) \| p_\theta(x_{t-1} | x_t, c))` of two diagonal Gaussians (Ho et
al. 2020; Nichol and Dhariwal 2021). Their means differ by the error of the noise alone, times
:math:`\beta_t / (\sqrt{\alpha_t} \sqrt{1 - \bar\alpha_t})`; the ``x_0`` that the prediction stands
for is not clipped.
"""

import math

from torch import Tensor

from diffclf_lightning.evaluation.prediction import ReverseStep


def variational_bound(noise: Tensor, prediction: Tensor, reverse: ReverseStep) -> Tensor:
    """Divergence of the predicted step from the true one, mean over the elements of each row.

    Args:
        noise: Drawn noise, shape ``(batch, ...)``.
        prediction: Predicted noise, of the same shape.
        reverse: Variances of both steps.

    Returns:
        Bits per dimension, float32, shape ``(batch,)``.
    """
    log_variance = reverse.log_variance.float()
    surplus = log_variance - reverse.posterior_log_variance.float()
    shift = reverse.noise_scale.float() * (noise.float() - prediction.float())
    nats = (surplus - 1 + (-surplus).exp() + shift.square() * (-log_variance).exp()) / 2
    return nats.flatten(1).mean(dim=1) / math.log(2)
