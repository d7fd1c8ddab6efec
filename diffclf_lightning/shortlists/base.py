"""Shortlist: ranks the candidates of each image cheaply, so that only the first of them race."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from diffclf_lightning.answers import Shortlisted
from diffclf_lightning.calibration import Calibration
from diffclf_lightning.candidates import Candidates
from diffclf_lightning.denoisers import Conditioning, Denoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import Loss, NoiseBank


@dataclass(frozen=True)
class Choice:
    """What a shortlist is made for: the candidates of a set, and the model that tells them apart.

    Args:
        denoiser: The model.
        candidates: The candidates, with class names where there are any.
        conditioning: What the model is told of each candidate.
        noise: Where the noise of trials comes from.
        loss: The loss that decides.
    """

    denoiser: Denoiser
    candidates: Candidates
    conditioning: Conditioning
    noise: NoiseBank
    loss: Loss

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.denoiser.device


class Shortlist(ABC):
    """Ranks the candidates of each image, and keeps the first.

    Args:
        keep: Candidates of each image that are kept. Defaults to None: as many as ``calibration``
            says, or else all, which measures the ranking and saves nothing.
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote: the mean score of
            each candidate, which is taken off, and where it has one the number to keep.

    Raises:
        InputError: If an argument is out of range, or the calibration is of another shortlist.
    """

    choice: Choice
    """What it is made for; known once it is bound."""

    def __init__(self, keep: int | None = None, calibration: str | Path | None = None) -> None:
        if keep is not None and keep < 1:
            raise InputError(
                f"Expected argument `keep` of {type(self).__name__} to be at least 1, but got "
                f"{keep}. Leave it out to keep all and see how well the candidates are ranked."
            )
        self.keep, self.bias = keep, None
        if calibration is not None:
            self._calibrate(Calibration.load(calibration))

    bias: Mapping[str, float] | None
    """Mean score of each candidate by name, over images of a calibration run."""

    def _calibrate(self, fitted: Calibration) -> None:
        if fitted.shortlist is not None and fitted.shortlist != repr(self):
            raise InputError(
                f"Expected argument `calibration` to belong to {self!r}, but it was fitted for "
                f"{fitted.shortlist}. Rank as there, or calibrate a run as this one."
            )
        if fitted.bias is None:
            raise InputError(
                "Expected argument `calibration` of a shortlist to come from a run with one, but "
                "that run had none. Run with --model.shortlist, then `diffclf calibrate`."
            )
        self.bias = fitted.bias
        self.keep = fitted.keep if self.keep is None else self.keep

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What decides the scores, beside the choice."""
        return {}

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{type(self).__name__}({values})"

    def describe(self) -> dict[str, Any]:
        """What decides the result, as plain values."""
        bias = None if self.bias is None else dict(self.bias)
        return {"shortlist": repr(self), "keep": self.keep, "bias": bias}

    def bind(self, choice: Choice) -> Self:
        """A copy for one set, checked before the first image.

        Args:
            choice: What it is made for.

        Returns:
            The copy.

        Raises:
            InputError: If the shortlist does not fit the candidates.
        """
        bound = copy(self)
        bound.choice = choice
        missing = [name for name in choice.candidates.names if name not in (self.bias or ())]
        if self.bias is not None and missing:
            raise InputError(
                f"Expected argument `calibration` of {type(self).__name__} to know all candidates, "
                f"but it does not know {missing[0]!r}. Calibrate a run with these candidates."
            )
        return bound

    def kept_of(self, num_candidates: int) -> int:
        """Number of candidates that are kept of so many."""
        return num_candidates if self.keep is None else min(self.keep, num_candidates)

    @abstractmethod
    def evaluations(self, num_candidates: int) -> int:
        """Evaluations that ranking takes an image, at most; others than the model's count 0."""

    @abstractmethod
    def scores(
        self, images: Tensor, x_0: Tensor, allowed: Tensor, evaluations_per_batch: int
    ) -> tuple[Tensor, Tensor]:
        """Score the candidates of some images.

        Args:
            images: The images as they came, shape ``(images, channels, height, width)``.
            x_0: The same encoded, float32, shape ``(images, *sample_shape)``.
            allowed: Candidates of each image, bool, shape ``(images, candidates)``.
            evaluations_per_batch: Evaluations of the model that fit in a forward pass.

        Returns:
            Scores, lower is better, float32, shape ``(images, candidates)``, infinite for
            candidates that were passed over; and the evaluations of each image, int64.
        """

    def __call__(
        self, images: Tensor, x_0: Tensor, allowed: Tensor | None, evaluations_per_batch: int
    ) -> Shortlisted:
        """Rank the candidates of some images; arguments are those of :meth:`scores`.

        Raises:
            InputError: If a score is not a number.
        """
        num_candidates = self.choice.conditioning.num_rows
        if allowed is None:
            shape = len(x_0), num_candidates
            allowed = torch.ones(shape, dtype=torch.bool, device=x_0.device)
        scores, evaluations = self.scores(images, x_0, allowed, evaluations_per_batch)
        if scores.isnan().any():
            raise InputError(
                f"Expected {type(self).__name__} to give numbers, but it gave NaN. Check its "
                "weights, and the precision (float16 overflows where bfloat16 does not)."
            )
        order = self._unbiased(scores).masked_fill(~allowed, torch.inf).argsort(dim=1, stable=True)
        ranks = order.argsort(dim=1)
        kept = (ranks < self.kept_of(num_candidates)) & allowed & scores.isfinite()
        return Shortlisted(scores.float(), ranks, kept, evaluations)

    def _unbiased(self, scores: Tensor) -> Tensor:
        if self.bias is None:
            return scores
        means = [self.bias[name] for name in self.choice.candidates.names]
        return scores - torch.tensor(means, device=scores.device, dtype=scores.dtype)
