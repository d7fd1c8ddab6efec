"""The error table: what was evaluated, by every loss, and nothing else.

Not frozen, nor are its times: Lightning moves results between devices by writing to their fields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation.noised import Timesteps
from diffclf_lightning.evaluation.ragged import added, dense, merged, parts
from diffclf_lightning.evaluation.scored import ScoreTable
from diffclf_lightning.evaluation.scores import MeanError, Score


@dataclass
class ErrorTable:
    """Errors of a batch of images, of each candidate at the first so many trials.

    Args:
        errors: Errors by name of the loss, each float32 of shape ``(evaluations,)``: image by
            image, candidate by candidate, trial by trial.
        counts: Number of trials of each candidate, int64, shape ``(images, candidates)``.
        labels: Label of each candidate, int64, shape ``(candidates,)``.
        allowed: Candidates of each image, bool, shape ``(images, candidates)``.
        timesteps: The times of all trials, in order.
        reference: Errors of a reference conditioning, as of one candidate, or None.
        finalists: Candidates that may win, bool, shape ``(images, candidates)``. Defaults to None:
            those that met the most trials.
        sizes: Number of errors of each image by one loss, which the device need not be asked for.
    """

    errors: Mapping[str, Tensor]
    counts: Tensor
    labels: Tensor
    allowed: Tensor
    timesteps: Timesteps
    reference: "ErrorTable | None" = None
    finalists: Tensor | None = None
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.sizes:
            self.sizes = tuple(self.counts.sum(dim=1).tolist())

    @classmethod
    def empty(
        cls, losses: Sequence[str], allowed: Tensor, labels: Tensor, timesteps: Timesteps
    ) -> "ErrorTable":
        """A table in which nothing was evaluated.

        Args:
            losses: Names of the losses.
            allowed: Candidates of each image, bool, shape ``(images, candidates)``.
            labels: Label of each candidate, shape ``(candidates,)``.
            timesteps: The times of all trials, in order.

        Returns:
            The table.
        """
        nothing = torch.zeros(0, dtype=torch.float32, device=allowed.device)
        counts = torch.zeros_like(allowed, dtype=torch.int64)
        errors = dict.fromkeys(losses, nothing)
        return cls(errors, counts, labels, allowed, timesteps, sizes=(0,) * len(allowed))

    def __getitem__(self, loss: str) -> ScoreTable:
        """The table by the mean of one loss.

        Raises:
            InputError: If the errors by that loss were not computed.
        """
        return self.scored(MeanError(loss))

    def scored(self, score: Score) -> ScoreTable:
        """The table by a score.

        Args:
            score: The score.

        Returns:
            What the score makes of each error, and all that follows from it.

        Raises:
            InputError: If the score needs a loss, or a reference, that was not computed.
        """
        missing = [name for name in score.losses if name not in self.errors]
        if missing:
            raise InputError(
                f"Expected the name of a loss that was computed ({', '.join(self.errors)}), but "
                f"got {missing[0]!r}. Add it to `other_losses`."
            )
        if score.needs_reference and self.reference is None:
            raise InputError(
                f"Expected errors of a reference for score {score.name!r}, but there are none. Run "
                "the model again with this score."
            )
        return ScoreTable(
            score.errors(self), self.counts, self.labels, self.allowed, self.finalists, self.sizes
        )

    def extended(
        self, more: Tensor, errors: Mapping[str, Tensor], sizes: Sequence[int]
    ) -> "ErrorTable":
        """The table with further trials.

        Args:
            more: Number of new trials of each candidate, shape ``(images, candidates)``.
            errors: New errors by name of the loss, in the order of the table.
            sizes: Number of new errors of each image.

        Returns:
            The table.
        """
        together = tuple(old + new for old, new in zip(self.sizes, sizes, strict=True))
        behind = added(self.counts, more, together)
        every = {name: merged(old, errors[name], behind) for name, old in self.errors.items()}
        return replace(self, errors=every, counts=self.counts + more, sizes=together)

    def beginning(self, counts: Tensor) -> "ErrorTable":
        """The table without later trials.

        Args:
            counts: Number of trials of each candidate that are left, at most those that there are,
                shape ``(images, candidates)``.

        Returns:
            The table.
        """
        kept = [self.counts.new_empty(0, dtype=torch.bool)]
        kept += [
            part.trial < counts[part.images].flatten()[part.pair]
            for part in parts(self.counts, self.sizes)
        ]
        mask, reference = torch.cat(kept), self.reference
        return replace(
            self,
            errors={name: values[mask] for name, values in self.errors.items()},
            counts=counts,
            reference=reference and reference.beginning(counts.amax(dim=1, keepdim=True)),
            finalists=None,
            sizes=(),
        )

    def dense(self, loss: str) -> Tensor:
        """Errors by a loss, NaN where never evaluated, ``(images, candidates, trials)``."""
        return dense(self.errors[loss], self.counts)

    @property
    def evaluations(self) -> Tensor:
        """Number of model evaluations of each image, int64, shape ``(images,)``."""
        own = self.counts.sum(dim=1)
        return own if self.reference is None else own + self.reference.evaluations

    def cpu(self) -> "ErrorTable":
        """The same on the CPU."""
        host = torch.device("cpu")
        return replace(
            self,
            errors={name: values.cpu() for name, values in self.errors.items()},
            counts=self.counts.cpu(),
            labels=self.labels.cpu(),
            allowed=self.allowed.cpu(),
            timesteps=self.timesteps.to(host),
            reference=None if self.reference is None else self.reference.cpu(),
            finalists=None if self.finalists is None else self.finalists.cpu(),
        )
