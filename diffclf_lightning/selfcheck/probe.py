"""Probe: known samples with known noise, and what the network says when it is told a time."""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf, isfinite

import torch
from torch import Tensor

from diffclf_lightning.denoisers import Conditioning, Denoiser
from diffclf_lightning.evaluation import Noised
from diffclf_lightning.selfcheck.samples import Samples

LEVELS = tuple(Fraction(percent, 100) for percent in (15, 35, 65, 85))
"""Times whose noise the samples get."""


@dataclass(frozen=True)
class Probe:
    """Samples at one level of noise.

    Args:
        denoiser: The model.
        noised: The samples with noise.
        told: What the network is told beside the time, one row a sample.
        size: Samples of one forward pass.
    """

    denoiser: Denoiser
    noised: Noised
    told: Conditioning
    size: int

    @torch.no_grad()
    def output(self, timestep: Tensor | None = None) -> Tensor:
        """What the network says, float32, of the shape of ``x_0``.

        Args:
            timestep: What it is told of the time, one number. Defaults to None: the true time.
        """
        noised, parts = self.noised, []
        for rows in torch.arange(len(noised.x_0), device=noised.x_0.device).split(self.size):
            at = noised.at[rows]
            if timestep is not None:
                at = replace(at, timestep=timestep.to(at.timestep).expand(len(rows)))
            some = Noised(noised.x_0[rows], noised.noise[rows], at)
            parts.append(self.denoiser.predict(some, self.told.rows(rows)).output.float())
        return torch.cat(parts)

    @property
    def target(self) -> Tensor:
        """What a perfect network would say, float32."""
        return self.denoiser.schedule.target.of(self.noised)

    def error(self, timestep: Tensor | None = None) -> float:
        """Mean squared error of the output over that of saying nothing (zeros), or infinity."""
        missed = (self.output(timestep) - self.target).square().mean()
        error = float(missed / self.target.square().mean())
        return error if isfinite(error) else inf


def probes(
    denoiser: Denoiser, samples: Samples, size: int, seed: int, most: int | None = None
) -> list[Probe]:
    """A probe at each of :data:`LEVELS`.

    Args:
        denoiser: The model.
        samples: The samples.
        size: Samples of one forward pass.
        seed: Seed of the noise.
        most: Number of samples that are taken, at most. Defaults to None: all.
    """
    x_0 = samples.x_0[:most]
    rows = samples.told(denoiser, len(x_0))
    generator = torch.Generator().manual_seed(seed)
    made = []
    for level in LEVELS:
        noise = torch.randn(x_0.shape, generator=generator).to(x_0.device)
        at = denoiser.at([level] * len(x_0)).to(x_0.device)
        made.append(Probe(denoiser, Noised(x_0, noise, at), rows, size))
    return made
