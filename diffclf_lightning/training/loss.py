"""The denoising loss."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from diffclf_lightning.denoisers import Conditioning, Denoiser
from diffclf_lightning.evaluation import Noised


def with_noise(denoiser: Denoiser, x_0: Tensor, times: Tensor) -> Noised:
    """Samples with new noise.

    Args:
        denoiser: The model that is to see them.
        x_0: Clean samples, float32, shape ``(batch, *sample)``.
        times: Time of each in [0, 1), on the CPU, shape ``(batch,)``.
    """
    return Noised(x_0, torch.randn_like(x_0), denoiser.at(times).to(x_0.device))


def denoising_loss(denoiser: Denoiser, noised: Noised, conditioning: Conditioning) -> Tensor:
    """Mean squared error of the network's own target (noise, v, flow).

    Args:
        denoiser: The model.
        noised: What it sees.
        conditioning: What it is told, one row a sample.
    """
    output = denoiser(noised.x_t, noised.at.timestep, conditioning)
    return F.mse_loss(output.float(), denoiser.schedule.target.of(noised))
