r"""The engine: fills the error table, packing all work of a round into batches of one shape.

The work of a round is every trial that the strategy asks for, of any image and candidate. A flat
index runs over it and is cut into batches of equal size, so that the model always sees full
batches whatever the number of images or candidates. Indices stay on the device; a round asks the
device twice, what the strategy wants and whether all errors are finite, and inside it nothing is
copied to the host.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation.losses import Loss
from diffclf_lightning.evaluation.noised import Noised
from diffclf_lightning.evaluation.passes import PassSize
from diffclf_lightning.evaluation.predictor import Conditionings, Predictor
from diffclf_lightning.evaluation.ragged import starts
from diffclf_lightning.evaluation.scores import MeanError, Score
from diffclf_lightning.evaluation.strategies import Strategy
from diffclf_lightning.evaluation.table import ErrorTable
from diffclf_lightning.evaluation.trials import Trials

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Work:
    """The evaluations of a round, in order of image, candidate and trial.

    Args:
        images: Image of each pair that has work.
        candidates: Candidate of each.
        first: First trial of each.
        begins: Place of its first evaluation in the round.
        sizes: Number of evaluations of each image, on the host.
    """

    images: Tensor
    candidates: Tensor
    first: Tensor
    begins: Tensor
    sizes: Sequence[int]

    @classmethod
    def of(cls, counts: Tensor, more: Tensor) -> "Work":
        """Plan a round.

        Args:
            counts: Trials so far, on the CPU, shape ``(images, candidates)``.
            more: Trials to add, likewise.

        Returns:
            The plan, on the CPU.
        """
        images, candidates = more.nonzero(as_tuple=True)
        first, begins = counts[images, candidates], starts(more[images, candidates])
        return cls(images, candidates, first, begins, more.sum(dim=1).tolist())

    def __len__(self) -> int:
        return sum(self.sizes)

    def to(self, device: torch.device) -> "Work":
        """The same on a device."""
        images, candidates = self.images.to(device), self.candidates.to(device)
        return Work(images, candidates, self.first.to(device), self.begins.to(device), self.sizes)

    def at(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image, candidate and trial of evaluations of the round."""
        pair = torch.searchsorted(self.begins, index, right=True) - 1
        return (
            self.images[pair],
            self.candidates[pair],
            self.first[pair] + index - self.begins[pair],
        )


@torch.no_grad()
def evaluate(
    model: Predictor,
    x_0: Tensor,
    conditioning: Conditionings,
    trials: Trials,
    strategy: Strategy,
    losses: Sequence[Loss],
    score: Score | None = None,
    *,
    labels: Tensor | None = None,
    allowed: Tensor | None = None,
    reference: Conditionings | None = None,
    names: Sequence[str] | None = None,
    evaluations_per_batch: int | PassSize = 256,
    on_progress: Progress | None = None,
) -> ErrorTable:
    """Errors of candidate conditionings of every image, as many as the strategy asks for.

    Args:
        model: Says what noise it sees.
        x_0: Clean images or latents, float32, shape ``(images, ...)``.
        conditioning: Conditioning of the candidates.
        trials: Times and noise, the same for all candidates of an image.
        strategy: How many trials each candidate gets; bound to the candidates and the trials.
        losses: Losses that are computed of each forward pass.
        score: Decides which candidates get further trials. Defaults to None: the mean of the
            first loss.
        labels: Label of each candidate, shape ``(candidates,)``. Defaults to None: its index.
        allowed: Candidates of each image, bool, shape ``(images, candidates)``, at least one each.
            Defaults to None: all.
        reference: Conditioning of one row that meets the trials of each image beside the
            candidates.
        names: Names of the candidates, for messages.
        evaluations_per_batch: Largest number of evaluations in one forward pass; it is halved where
            they do not fit in memory.
        on_progress: Called with the number of evaluations of each forward pass.

    Returns:
        The error table of the images.

    Raises:
        InputError: If the model gives an error that is not finite (the message names the candidate
            and the time), or an image has no allowed candidate.
        RuntimeError: If the strategy asks for more trials than there are.
    """
    device, shape = x_0.device, (len(x_0), conditioning.num_rows)
    score = score or MeanError(losses[0].name)
    if labels is None:
        labels = torch.arange(shape[1], device=device)
    if allowed is None:
        allowed = torch.ones(shape, dtype=torch.bool, device=device)
    elif not allowed.any(dim=1).all():
        raise InputError(
            "Expected argument `allowed` to leave every image at least one candidate, but image "
            f"{int((~allowed.any(dim=1)).nonzero()[0])} of the batch has none."
        )
    size = evaluations_per_batch
    size = PassSize(size) if isinstance(size, int) else size
    passes = _Passes(model, x_0, trials, losses, size, on_progress)
    table = passes.table(allowed, labels)
    if reference is not None:
        table = replace(table, reference=passes.table(allowed[:, :1] | True, labels[:1]))
    counts = torch.zeros(shape, dtype=torch.int64)
    while (more := strategy.further(table.scored(score)).cpu()).any():
        met = counts.amax(dim=1, keepdim=True)
        table = passes.fill(table, counts, more, conditioning, names)
        counts = counts + more
        if reference is not None and table.reference is not None:
            new = counts.amax(dim=1, keepdim=True) - met
            beside = passes.fill(table.reference, met, new, reference, ["the reference"])
            table = replace(table, reference=beside)
    return replace(table, finalists=strategy.finalists(table.scored(score)))


class _Passes:
    """The forward passes of a batch of images."""

    def __init__(
        self,
        model: Predictor,
        x_0: Tensor,
        trials: Trials,
        losses: Sequence[Loss],
        size: PassSize,
        on_progress: Progress | None,
    ) -> None:
        self.model, self.x_0, self.trials, self.losses = model, x_0, trials, losses
        self.size, self.on_progress = size, on_progress
        self.timesteps = model.at(trials.times).to(x_0.device)

    def table(self, allowed: Tensor, labels: Tensor) -> ErrorTable:
        names = [loss.name for loss in self.losses]
        return ErrorTable.empty(names, allowed, labels, self.timesteps)

    def fill(
        self,
        table: ErrorTable,
        counts: Tensor,
        more: Tensor,
        conditioning: Conditionings,
        names: Sequence[str] | None,
    ) -> ErrorTable:
        """The table with further trials; counts so far and trials to add are on the CPU."""
        last = int((counts + more).amax())
        if last > len(self.trials):
            raise RuntimeError(
                f"Expected a strategy that asks for at most {len(self.trials)} trials, but got "
                f"{last}. Its `stages` must end with the most that it asks for."
            )
        self.trials.noise.reserve(last)
        planned = Work.of(counts, more)
        work = planned.to(self.x_0.device)
        errors = {
            loss.name: torch.empty(len(work), dtype=torch.float32, device=self.x_0.device)
            for loss in self.losses
        }
        start, size = 0, self.size.cut(len(work))
        while start < len(work):
            valid = min(size, len(work) - start)
            try:
                rows = self.size.rows(size)
                found = self._errors(planned, work, conditioning, start, valid, rows)
            except RuntimeError as error:
                self.size.shrink(size, error)
                size = self.size.cut(len(work) - start)
                continue
            for name, values in found.items():
                errors[name][start : start + valid] = values
            self.size.count(valid, size)
            start += valid
            if self.on_progress is not None:
                self.on_progress(valid)
        if not torch.stack([new.isfinite().all() for new in errors.values()]).all():
            raise self._not_finite(errors, work, names)
        return table.extended(more.to(self.x_0.device), errors, work.sizes)

    def _errors(
        self,
        planned: Work,
        work: Work,
        conditioning: Conditionings,
        start: int,
        valid: int,
        rows: int,
    ) -> dict[str, Tensor]:
        """Errors by loss of one forward pass, filled up with repeats of its last evaluation."""
        device = self.x_0.device
        image, candidate, trial = work.at(_indices(start, valid, rows, device))
        noise = self.trials.noise
        if noise.on_host:
            places = planned.at(_indices(start, valid, rows, torch.device("cpu")))
            drawn = noise.rows(places[0], places[2]).to(device)
        else:
            drawn = noise.rows(image, trial).to(device)
        noised = Noised(self.x_0[image], drawn, self.timesteps[trial])
        prediction = self.model.predict(noised, conditioning.rows(candidate))
        return {loss.name: loss(noised, prediction)[:valid] for loss in self.losses}

    def _not_finite(
        self, errors: Mapping[str, Tensor], work: Work, names: Sequence[str] | None
    ) -> InputError:
        loss, new = next((k, v) for k, v in errors.items() if not v.isfinite().all())
        bad = (~new.isfinite()).nonzero()
        image, candidate, trial = (int(index) for index in work.at(bad[0]))
        name = candidate if names is None else repr(names[candidate])
        return InputError(
            f"Expected finite errors, but the model gave {new[bad[0]].item()} for candidate {name} "
            f"at timestep {self.timesteps.timestep[trial].item():g} ({loss}, image {image} of the "
            f"batch, {len(bad)} of {len(work)} evaluations). Check the weights (a damaged file?) "
            "and the precision (float16 overflows where bfloat16 does not)."
        )


def _indices(start: int, valid: int, rows: int, device: torch.device) -> Tensor:
    """Indices of the rows of a pass; the last of its evaluations is repeated."""
    return torch.arange(start, start + rows, device=device).clamp(max=start + valid - 1)
