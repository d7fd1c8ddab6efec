r"""A closed-form denoiser: each class is a Gaussian, so that everything is known exactly.

With :math:`x_0 | c \sim N(\mu_c, s^2 I)`, :math:`x_t` given c is Gaussian too and the best
prediction of the noise is :math:`\sigma (x_t - \alpha \mu_c) / (\alpha^2 s^2 + \sigma^2)`. Over
timesteps that are evenly spaced in :math:`\lambda = \log(\alpha^2/\sigma^2)` the summed noise
error is the log-likelihood up to a constant (Kingma and Gao 2023), so that a diffusion classifier
with temperature :math:`D (\lambda_{max} - \lambda_{min}) / 2` gives the exact Bayes posterior in
D dimensions.
"""

from collections.abc import Sequence
from pathlib import Path

import diffusers
import torch
from torch import Tensor, nn

from diffclf_lightning.candidates import Condition
from diffclf_lightning.denoisers.base import Denoiser, Transform
from diffclf_lightning.denoisers.schedule import Schedule
from diffclf_lightning.denoisers.transforms import CenterCrop


class GaussianDenoiser(Denoiser):
    """The best possible denoiser of one Gaussian a class.

    Args:
        means: Class means in [-1, 1], shape ``(classes, channels, height, width)``.
        std: Standard deviation ``s`` of every class.
        num_train_timesteps: Number of timesteps, evenly spaced in the log signal-to-noise ratio.
        max_log_snr: They run from this log signal-to-noise ratio down to its negative.
    """

    def __init__(
        self,
        means: Tensor,
        std: float = 1.0,
        num_train_timesteps: int = 1000,
        max_log_snr: float = 10.0,
    ) -> None:
        self.max_log_snr = max_log_snr
        abar = torch.linspace(
            max_log_snr, -max_log_snr, num_train_timesteps, dtype=torch.float64
        ).sigmoid()
        betas = 1 - abar / torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
        super().__init__(Schedule(diffusers.DDPMScheduler(trained_betas=betas.numpy())))
        self.means = nn.Parameter(means, requires_grad=False)
        self.std = std
        self.num_classes: int = len(means)

    @property
    def temperature(self) -> float:
        """Temperature at which the classifier's posterior is the Bayes posterior."""
        return float(self.means[0].numel() * self.max_log_snr)

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """See :attr:`Denoiser.sample_shape`."""
        _, channels, height, width = self.means.shape
        return channels, height, width

    @property
    def transform(self) -> Transform:
        """Short side bicubic to the size, then the centre."""
        channels, height, _ = self.sample_shape
        return CenterCrop(height, channels)

    def condition(self, conditions: Sequence[Condition]) -> Tensor:
        """See :meth:`Denoiser.condition`."""
        return torch.tensor(list(conditions), dtype=torch.int64, device=self.device)

    def null_conditioning(self, conditioning: Tensor) -> Tensor:
        """There is none: the classes are all there is.

        Raises:
            TypeError: Always.
        """
        raise TypeError('GaussianDenoiser has no conditioning for "no class".')

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Tensor) -> Tensor:
        """See :meth:`Denoiser.forward`."""
        alpha, sigma = self.schedule.scales(timestep, x_t.ndim)
        variance = alpha**2 * self.std**2 + sigma**2
        return sigma * (x_t - alpha * self.means[conditioning]) / variance

    def bayes_posterior(self, x_0: Tensor) -> Tensor:
        """Exact posterior under a uniform prior.

        Args:
            x_0: Samples, shape ``(images, *sample_shape)``.

        Returns:
            Probabilities, shape ``(images, classes)``.
        """
        distance = (x_0[:, None] - self.means[None]).flatten(2).square().sum(dim=-1)
        return (-distance / (2 * self.std**2)).softmax(dim=-1)

    def save_pretrained(self, folder: str | Path) -> None:
        """There is no diffusers pipeline of it.

        Raises:
            TypeError: Always.
        """
        raise TypeError("GaussianDenoiser is no diffusers pipeline; save its `means`.")
