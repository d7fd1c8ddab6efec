r"""Shortlist by the gradient of the error: a score of every candidate for two forward passes.

The network is told the mixture :math:`\bar h = \sum_c w_c h_c` of the candidates' conditionings
with equal weights (embedding rows for class ids, encoder states for prompts). One backward pass
gives the derivatives of its error E by all weights at once, and so the error of each candidate to
first order,

.. math::
    E(h_c) \approx E(\bar h) + \langle \partial E / \partial h, h_c - \bar h \rangle
    = E(\bar h) + \frac{\partial E}{\partial w_c} - \sum_k w_k \frac{\partial E}{\partial w_k},

whatever their number. The mean over some trials is the score. What is left out, of second order,
differs from candidate to candidate and hardly from image to image; so the mean score of each
candidate over the images of a calibration run is taken off.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from diffclf_lightning.compiling import eager
from diffclf_lightning.denoisers import Conditioning
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import (
    GoldenGrid,
    Noised,
    Timesteps,
    TrialSource,
    is_lack_of_memory,
)
from diffclf_lightning.shortlists.base import Choice, Shortlist

BACKWARD = 4
"""Activations are kept for the backward pass, so that as many fewer evaluations fit at once."""


class GradientShortlist(Shortlist):
    """The candidates towards which the error falls most.

    Args:
        keep: Candidates of each image that are kept. Defaults to None: as many as ``calibration``
            says, or else all.
        trials: Trials, at well-spread times with the noise of the first trials. Each counts as two
            evaluations.
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote. Without one,
            candidates are not compared fairly where there are many.

    Raises:
        InputError: If an argument is out of range, or the calibration is of another shortlist.
    """

    told: Conditioning
    """Conditioning of the candidates, through which derivatives can be taken."""
    _source: TrialSource

    def __init__(
        self, keep: int | None = None, trials: int = 8, calibration: str | Path | None = None
    ) -> None:
        if trials < 1:
            raise InputError(
                f"Expected argument `trials` of GradientShortlist to be at least 1, but got "
                f"{trials}. Take 8."
            )
        self.trials = trials
        super().__init__(keep, calibration)

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {"trials": self.trials}

    def bind(self, choice: Choice) -> Self:
        if self.bias is None and self.keep is not None:
            warnings.warn(
                "GradientShortlist without `calibration` compares candidates with a bias of their "
                "own. Run with --model.shortlist GradientShortlist and no `keep` on other images, "
                "`diffclf calibrate` it, and give that run as `calibration`.",
                stacklevel=2,
            )
        bound = super().bind(choice)
        bound._source = TrialSource(
            GoldenGrid(), choice.noise, (self.trials,), choice.denoiser.sample_shape
        )
        told = choice.conditioning.to(choice.device)
        with torch.inference_mode(mode=False):
            ordinary = {keyword: _ordinary(tensor) for keyword, tensor in told.items()}
        bound.told = Conditioning(ordinary, told.shared)
        return bound

    def evaluations(self, num_candidates: int) -> int:
        return 2 * self.trials

    def scores(
        self, images: Tensor, x_0: Tensor, allowed: Tensor, evaluations_per_batch: int
    ) -> tuple[Tensor, Tensor]:
        trials, device = self._source(images), x_0.device
        trials.noise.reserve(self.trials)
        timesteps = self.choice.denoiser.at(trials.times).to(device)
        host = torch.device("cpu") if trials.noise.on_host else device
        total = torch.zeros(allowed.shape, device=device)
        start, rows = 0, len(x_0) * self.trials
        size = max(1, evaluations_per_batch // BACKWARD)
        while start < rows:
            part = torch.arange(start, min(start + size, rows), device=host)
            image, trial = part // self.trials, part % self.trials
            noise = trials.noise.rows(image, trial).to(device)
            image, trial = image.to(device), trial.to(device)
            try:
                slopes = self._slopes(x_0[image], noise, timesteps, trial, allowed[image])
            except RuntimeError as error:
                if size == 1 or not is_lack_of_memory(error):
                    raise
                size //= 2
                continue
            total.index_add_(0, image, slopes)
            start += size
        spent = torch.full((len(x_0),), 2 * self.trials, dtype=torch.int64, device=device)
        return total / self.trials, spent

    def _slopes(
        self, x_0: Tensor, noise: Tensor, timesteps: Timesteps, trial: Tensor, allowed: Tensor
    ) -> Tensor:
        """Error of each candidate to first order, less that of the mixture."""
        # Derivatives under the inference mode of a Trainer, of no compiled graph.
        with torch.inference_mode(mode=False), torch.enable_grad(), eager():
            weights = _ordinary(allowed).float()
            weights = (weights / weights.sum(dim=1, keepdim=True)).requires_grad_()
            noised = Noised(_ordinary(x_0), _ordinary(noise), timesteps[_ordinary(trial)])
            told = self.choice.denoiser.predict_mixed(noised, self.told, weights)
            # Sums over pixels: derivatives of means would be lost in float16.
            error = self.choice.loss(noised, told) * x_0[0].numel()
            (slopes,) = torch.autograd.grad(error.sum(), weights)
        slopes = slopes.float() / x_0[0].numel()
        return slopes - (weights.detach() * slopes).sum(dim=1, keepdim=True)


def _ordinary(tensor: Tensor) -> Tensor:
    """A tensor that derivatives can be taken through; those of inference mode cannot."""
    return tensor.clone() if tensor.is_inference() else tensor
