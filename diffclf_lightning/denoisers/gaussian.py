r"""A closed-form denoiser: each class is a Gaussian, so that everything is known exactly.

With :math:`x_0 | c \sim N(\mu_c, s^2 I)`, :math:`x_t` given c is Gaussian too and the best
prediction of the noise is :math:`\sigma (x_t - \alpha \mu_c) / (\alpha^2 s^2 + \sigma^2)`. Over
timesteps that are evenly spaced in :math:`\lambda = \log(\alpha^2/\sigma^2)` the summed noise
error is the log-likelihood up to a constant (Kingma and Gao 2023), so that a diffusion classifier
with temperature :math:`D (\lambda_{max} - \lambda_{min}) / 2` gives the exact Bayes posterior in
D dimensions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import diffusers
import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn

from diffclf_lightning.candidates import Condition
from diffclf_lightning.denoisers.base import Denoiser
from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.schedules import Schedule, VariancePreserving
from diffclf_lightning.evaluation import Noised, Prediction
from diffclf_lightning.evaluation.noised import broadcast
from diffclf_lightning.ranges import check_number


class GaussianDenoiser(Denoiser):
    """The best possible denoiser of one Gaussian a class.

    Args:
        means: Class means in [-1, 1], shape ``(classes, channels, height, width)``.
        std: Standard deviation ``s`` of every class.
        num_train_timesteps: Number of timesteps, evenly spaced in the log signal-to-noise ratio.
        max_log_snr: They run from this log signal-to-noise ratio down to its negative.
        schedule: Another schedule. Defaults to None: variance preserving, as the two arguments
            before say.
    """

    def __init__(
        self,
        means: Tensor,
        std: float = 1.0,
        num_train_timesteps: int = 1000,
        max_log_snr: float = 10.0,
        schedule: Schedule | None = None,
    ) -> None:
        check_number("std", std, least=0)
        check_number("max_log_snr", max_log_snr, above=0)
        self.max_log_snr = max_log_snr
        abar = expit(np.linspace(max_log_snr, -max_log_snr, num_train_timesteps))
        betas = 1 - abar / np.append(1, abar[:-1])
        even = diffusers.DDPMScheduler(trained_betas=betas)
        super().__init__(schedule or VariancePreserving(even))
        self.means = nn.Parameter(means, requires_grad=False)
        self.std = std
        self.num_classes: int = len(means)

    @property
    def chosen_options(self) -> dict[str, float]:
        """What it was made with, beside the means and the schedule."""
        return {"std": self.std}

    @property
    def temperature(self) -> float:
        """Temperature at which the classifier's posterior is the Bayes posterior."""
        return float(self.means[0].numel() * self.max_log_snr)

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        _, channels, height, width = self.means.shape
        return channels, height, width

    def condition(self, conditions: Sequence[Condition]) -> Conditioning:
        ids = torch.tensor(list(conditions), dtype=torch.int64, device=self.device)
        return Conditioning({"class_labels": ids})

    def unconditional(self) -> Conditioning:
        """The mixture of all classes, equally likely."""
        return Conditioning({"mixture": torch.ones(1, device=self.device)})

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        told = self.schedule.of(timestep)
        alpha, sigma = broadcast(told.alpha, x_t), broadcast(told.sigma, x_t)
        variance = alpha**2 * self.std**2 + sigma**2
        if "class_labels" in conditioning:
            mean = self.means[conditioning["class_labels"]]
        elif "means" in conditioning:
            mean = conditioning["means"]
        else:
            surplus = (x_t[:, None] - alpha[:, None] * self.means).flatten(2).square().sum(dim=-1)
            weights = (-surplus / variance.reshape(-1, 1) / 2).softmax(dim=1)
            mean = (weights @ self.means.flatten(1)).reshape(x_t.shape)
        noise = sigma * (x_t - alpha * mean) / variance
        x_0 = (alpha * self.std**2 * x_t + sigma**2 * mean) / variance
        return self.schedule.target.of(Noised(x_0, noise, told))

    def predict_mixed(
        self, noised: Noised, conditioning: Conditioning, weights: Tensor
    ) -> Prediction:
        """See :meth:`Denoiser.predict_mixed`; class means are mixed."""
        told = Conditioning({"means": self.means[conditioning["class_labels"]]})
        return self.predict(noised, told.mixed(weights))

    def bayes_posterior(self, x_0: Tensor) -> Tensor:
        """Exact posterior of ``x_0`` under a uniform prior, shape ``(images, classes)``."""
        distance = (x_0[:, None] - self.means[None]).flatten(2).square().sum(dim=-1)
        return (-distance / (2 * self.std**2)).softmax(dim=-1)

    def save_pretrained(self, folder: str | Path) -> None:
        """There is no diffusers pipeline of it: raises a TypeError."""
        raise TypeError("GaussianDenoiser is no diffusers pipeline; save its `means`.")
