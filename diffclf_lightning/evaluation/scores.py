"""Scores: from the error table to one number a candidate, lower is better.

A score gives a contribution for every error; a candidate's score is their mean. So strategies may
test differences of contributions trial by trial, whatever the score.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation.noised import Timesteps
from diffclf_lightning.evaluation.ragged import parts, starts
from diffclf_lightning.ranges import check_number

if TYPE_CHECKING:
    from diffclf_lightning.evaluation.table import ErrorTable


class Score(ABC):
    """Makes one number a candidate of its errors."""

    name: str
    losses: tuple[str, ...]
    """Names of the losses that it reads."""
    needs_reference: bool = False
    """Whether it compares with a reference conditioning, "nothing said"."""
    knows_candidates: bool = False
    """Whether it knows candidates by name, and has to be bound to them."""

    def bind(self, names: Sequence[str]) -> "Score":
        """The score for some candidates.

        Args:
            names: Names of the candidates, in their order.

        Raises:
            InputError: If it does not know one.
        """
        return self

    @abstractmethod
    def errors(self, table: "ErrorTable") -> Tensor:
        """Contribution of every evaluation, whose mean is the candidate's score.

        Args:
            table: The errors.

        Returns:
            Float32, shape ``(evaluations,)``, in the order of the table's errors.
        """

    def check(self, timesteps: Timesteps) -> None:  # noqa: B027
        """Say before the first evaluation that the score does not fit the times.

        Args:
            timesteps: The times of all trials, in order.

        Raises:
            InputError: If it does not.
        """

    def __call__(self, table: "ErrorTable") -> Tensor:
        """Comparable score of each candidate, lower is better, shape ``(images, candidates)``."""
        return table.scored(self).scores

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class MeanError(Score):
    """The mean error by one loss (Li et al., ICCV 2023).

    Args:
        loss: Name of the loss.
    """

    def __init__(self, loss: str = "l2") -> None:
        self.loss, self.name, self.losses = loss, loss, (loss,)

    def errors(self, table: "ErrorTable") -> Tensor:
        return table.errors[self.losses[0]]


class TimeWeight(ABC):
    """A weight over time, a function of t, alpha and sigma."""

    @abstractmethod
    def __call__(self, timesteps: Timesteps) -> Tensor:
        """Weights, at least 0, float32, shape ``(trials,)``."""

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"


class UniformWeight(TimeWeight):
    """The same weight at all times."""

    def __call__(self, timesteps: Timesteps) -> Tensor:
        return torch.ones_like(timesteps.time)


class ExponentialWeight(TimeWeight):
    """exp(-rate t), of Clark and Jaini (2023) for errors of ``x_0``.

    Args:
        rate: How fast the weight falls.

    Raises:
        InputError: If that is no finite number.
    """

    def __init__(self, rate: float = 7.0) -> None:
        check_number("rate", rate)
        self.rate = rate

    def __call__(self, timesteps: Timesteps) -> Tensor:
        return (-self.rate * timesteps.time).exp()


class PiecewiseWeight(TimeWeight):
    """Weights of equal parts of [0, 1).

    Args:
        weights: Weight of each part, from time 0 up, none below 0 and not all of them 0.

    Raises:
        InputError: If they are not such weights.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        self.weights = tuple(float(weight) for weight in weights)
        if not self.weights or min(self.weights) < 0 or not 0 < sum(self.weights) < float("inf"):
            raise InputError(
                "Expected argument `weights` to hold a weight for each part of the times, none "
                f"below 0 and not all of them 0, but got {list(weights)}."
            )

    def __call__(self, timesteps: Timesteps) -> Tensor:
        place = part_of(timesteps.time, len(self.weights))
        return torch.tensor(self.weights, device=place.device, dtype=torch.float32)[place]


def part_of(time: Tensor, number: int) -> Tensor:
    """Which equal part of [0, 1) times lie in.

    Args:
        time: Times, float32, of any shape.
        number: Number of parts.

    Returns:
        From 0 up, int64, of the same shape.
    """
    return (time * number).long().clamp(max=number - 1)


class WeightedError(Score):
    """The mean of errors times a weight over time.

    Args:
        weight: The weight.
        loss: Name of the loss. Clark and Jaini (2023) weight squared errors of ``x_0``.
        name: Name of the score. Defaults to None: one made of the loss and the weight.
    """

    def __init__(self, weight: TimeWeight, loss: str = "l2_x_0", name: str | None = None) -> None:
        self.weight, self.loss, self.losses = weight, loss, (loss,)
        self.name = name or f"{loss}*{weight!r}"

    def __repr__(self) -> str:
        return f"WeightedError({self.weight!r}, {self.losses[0]!r}, {self.name!r})"

    def check(self, timesteps: Timesteps) -> None:
        weights = self.weight(timesteps)
        if not weights.isfinite().all() or bool((weights < 0).any()) or not weights.any():
            raise InputError(
                f"Expected argument `weight` to be finite, at least 0 and not 0 at all of the "
                f"{len(weights)} times, but got {self.weight!r}, from {weights.min():g} to "
                f"{weights.max():g}. Take another weight, or more trials."
            )

    def errors(self, table: "ErrorTable") -> Tensor:
        weights, errors = self.weight(table.timesteps), table.errors[self.losses[0]]
        weighted = [
            errors[part.values] * weights[part.trial] for part in parts(table.counts, table.sizes)
        ]
        return torch.cat(weighted) if weighted else errors


class RelativeToReference(Score):
    """A score less that of a reference conditioning at the same trials (DiffusionITM).

    The reference is what the model says when it is told nothing: the empty prompt, or the class
    "no class". Within one image it is the same for all candidates and changes no decision; it makes
    scores of different images comparable.

    Args:
        score: The score of candidate and reference. Defaults to None: the mean of l2.

    Raises:
        InputError: If that knows candidates by name, which the reference is none of.
    """

    needs_reference = True

    def __init__(self, score: Score | None = None) -> None:
        self.score = score or MeanError()
        if self.score.knows_candidates:
            kind = type(self.score).__name__
            raise InputError(
                f"Expected argument `score` of RelativeToReference to treat all candidates alike, "
                f"but got {kind}. Put {kind} around RelativeToReference instead."
            )
        self.name, self.losses = f"{self.score.name}-reference", self.score.losses

    def __repr__(self) -> str:
        return f"RelativeToReference({self.score!r})"

    def check(self, timesteps: Timesteps) -> None:
        self.score.check(timesteps)

    def errors(self, table: "ErrorTable") -> Tensor:
        reference = table.reference
        own = self.score.errors(table)
        if reference is None or not len(own):
            return own
        told_nothing, begins = self.score.errors(reference), starts(reference.counts)[:, 0]
        relative = []
        for part in parts(table.counts, table.sizes):
            image = part.pair // table.counts.shape[1] + part.images.start
            relative.append(own[part.values] - told_nothing[begins[image] + part.trial])
        return torch.cat(relative)
