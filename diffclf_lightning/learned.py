"""Scores that were learned from the stored errors of a run: weights over time, bias of candidates.

Both hold what ``diffclf calibrate`` fitted as plain numbers, so that a run says whole how it
decided, and a checkpoint needs no other file.
"""

import hashlib
from collections.abc import Mapping, Sequence
from copy import copy
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from diffclf_lightning.calibration import Calibration
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import MeanError, PiecewiseWeight, Score, WeightedError, part_of
from diffclf_lightning.evaluation.noised import Timesteps
from diffclf_lightning.evaluation.ragged import parts

if TYPE_CHECKING:
    from diffclf_lightning.evaluation import ErrorTable


class LearnedWeights(WeightedError):  # noqa: N818 - its errors are no exceptions
    """The mean of errors times weights over time that ``diffclf calibrate --weights`` learned.

    Args:
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote.
        weights: The weights themselves, in its place: one for each equal part of [0, 1).
        loss: The loss whose errors they weigh. Defaults to None: that of the calibration, and l2
            for given weights.

    Raises:
        InputError: If not one of calibration and weights is given, the calibration has no weights
            or those of another loss, or weights are none.

    Example:
        >>> LearnedWeights(weights=[0.5, 1.5], loss="l2_x_0").losses
        ('l2_x_0',)
    """

    def __init__(
        self,
        calibration: str | Path | None = None,
        weights: Sequence[float] | None = None,
        loss: str | None = None,
    ) -> None:
        if (calibration is None) == (weights is None):
            raise InputError(_one_of("LearnedWeights", "--weights", "weights", weights))
        self.fitted_with: str | None = None
        if calibration is not None:
            fitted = Calibration.load(calibration)
            self.fitted_with = fitted.model
            if fitted.weights is None:
                raise InputError(
                    "Expected argument `calibration` of LearnedWeights to have weights over time, "
                    f"but {str(calibration)!r} has none. Make them with `diffclf calibrate RUN "
                    "--weights`."
                )
            if loss not in (None, fitted.loss):
                raise InputError(
                    f"Expected argument `calibration` of LearnedWeights to have weights of loss "
                    f"{loss!r}, but those of {str(calibration)!r} belong to {fitted.loss!r}. Leave "
                    "`loss` out, or calibrate with `--score MeanError --score.loss "
                    f"{loss} --weights`."
                )
            weights, loss = fitted.weights, fitted.loss
        self.calibration = None
        weight = PiecewiseWeight(weights or ())
        self.weights = weight.weights
        loss = loss or "l2"
        super().__init__(weight, loss, f"{loss}-learned-{_digest(self.weights)}")

    def __repr__(self) -> str:
        return f"LearnedWeights(weights={self.weights}, loss={self.loss!r})"


class WithoutBias(Score):
    """A score less what it says of each candidate whatever the image.

    Some prompts win on every image. A candidate's bias is how far its mean score over unlabelled
    images is above that of all candidates; ``diffclf calibrate --bias`` computes it, in each equal
    part of the times, so that whichever trials were met, the bias of their times is taken off.
    What is left are contributions like any other's, so that strategies test the score without bias.

    Where the images of the calibration are not spread evenly over the classes, a class that fills
    them loses what it deserves.

    Args:
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote.
        score: The score whose bias it is. Defaults to None: what was calibrated, if that is the
            mean of a loss or has learned weights.
        bias: The bias itself, in place of the calibration: by name of the candidate, a number for
            each equal part of [0, 1).

    Raises:
        InputError: If not one of calibration and bias is given, the calibration has no bias or
            that of another score, or the bias is none.
    """

    knows_candidates = True

    def __init__(
        self,
        calibration: str | Path | None = None,
        score: Score | None = None,
        bias: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        if (calibration is None) == (bias is None):
            raise InputError(_one_of("WithoutBias", "--bias", "bias", bias))
        self.fitted_with: str | None = None
        if calibration is not None:
            fitted = Calibration.load(calibration)
            self.fitted_with = fitted.model
            if fitted.part_bias is None:
                raise InputError(
                    "Expected argument `calibration` of WithoutBias to have a bias of candidates, "
                    f"but {str(calibration)!r} has none. Make it with `diffclf calibrate RUN "
                    "--bias`."
                )
            bias, score = fitted.part_bias, _biased(fitted, score)
        self.calibration = None
        self.score = score or MeanError()
        self.bias = {name: tuple(map(float, own)) for name, own in (bias or {}).items()}
        numbers = [number for own in self.bias.values() for number in own]
        if (
            not numbers
            or not all(map(isfinite, numbers))
            or len({*map(len, self.bias.values())}) > 1
        ):
            raise InputError(
                "Expected argument `bias` to hold as many finite numbers for each candidate, one "
                f"for each part of the times, but got {bias}."
            )
        self.losses, self.needs_reference = self.score.losses, self.score.needs_reference
        self.name = f"{self.score.name}-unbiased-{_digest(sorted(self.bias.items()))}"
        self._of_candidates: Tensor | None = None

    def __repr__(self) -> str:
        return f"WithoutBias(score={self.score!r}, bias={self.bias})"

    def check(self, timesteps: Timesteps) -> None:
        self.score.check(timesteps)

    def bind(self, names: Sequence[str]) -> Self:
        missing = [name for name in names if name not in self.bias]
        if missing:
            raise InputError(
                "Expected argument `calibration` of WithoutBias to know all candidates, but it "
                f"does not know {missing[0]!r}. Calibrate a run with these candidates."
            )
        bound = copy(self)
        bound.score = self.score.bind(names)
        bound._of_candidates = torch.tensor([self.bias[name] for name in names])
        return bound

    def errors(self, table: "ErrorTable") -> Tensor:
        own, bias = self.score.errors(table), self._of_candidates
        candidates = table.counts.shape[1]
        if bias is None or len(bias) != candidates:
            raise InputError(
                "Expected WithoutBias to answer among the candidates that it was calibrated for, "
                f"but got {candidates} others. Take another score where each sample brings its own."
            )
        at = bias.to(own.device)[:, part_of(table.timesteps.time, bias.shape[1])]
        less = [
            own[part.values] - at[part.pair % candidates, part.trial]
            for part in parts(table.counts, table.sizes)
        ]
        return torch.cat(less) if less else own


def _biased(fitted: Calibration, score: Score | None) -> Score:
    """The score that a bias was fitted for."""
    if score is None and fitted.loss is not None:
        learned, loss = fitted.weights, fitted.loss
        score = MeanError(loss) if learned is None else LearnedWeights(weights=learned, loss=loss)
    if score is None or score.name != fitted.biased:
        raise InputError(
            f"Expected argument `score` of WithoutBias to be {fitted.biased!r}, whose bias the "
            f"calibration has, but got {score and score.name!r}. Give that score, or calibrate "
            "with another `--score` and `--bias`."
        )
    return score


def _one_of(score: str, flag: str, argument: str, given: Any) -> str:
    return (
        f"Expected argument `calibration` of {score}, a run that `diffclf calibrate {flag}` was "
        f"given, or else `{argument}`, but got {'neither' if given is None else 'both'}."
    )


def _digest(values: Any) -> str:
    """A short name for numbers: what was fitted to some is not taken for others."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:8]
