r"""The engine: fills the error table, packing all work of a block into batches of one shape.

The work of a block is every remaining (image, candidate) pair times every trial of the block. A
flat index runs over it and is cut into batches of equal size, so that the model always sees full
batches whatever the number of images or candidates. Indices stay on the device; inside a block
nothing is copied to the host.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation.losses import Loss, NoiseFunction, get_losses
from diffclf_lightning.evaluation.prediction import Prediction
from diffclf_lightning.evaluation.strategies import Strategy
from diffclf_lightning.evaluation.table import ErrorTable
from diffclf_lightning.evaluation.trials import Trials

Progress = Callable[[int], None]


class NoisePredictor(Protocol):
    """What the engine needs of a model."""

    def add_noise(self, x_0: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Diffuse ``x_0`` to ``timestep``; float32, shapes ``(batch, ...)`` and ``(batch,)``."""

    def predict(self, x_t: Tensor, timestep: Tensor, conditioning: Tensor) -> Prediction:
        """What the model says of ``x_t``, in one forward pass."""


@torch.no_grad()
def evaluate(
    model: NoisePredictor,
    x_0: Tensor,
    conditioning: Tensor,
    trials: Trials,
    strategy: Strategy,
    loss: str | Loss | NoiseFunction,
    other_losses: Sequence[str | Loss | NoiseFunction] = (),
    *,
    labels: Tensor | None = None,
    names: Sequence[str] | None = None,
    evaluations_per_batch: int = 256,
    on_progress: Progress | None = None,
) -> ErrorTable:
    r"""Errors of every candidate conditioning of every image.

    Args:
        model: Adds noise and predicts it.
        x_0: Clean images or latents, float32, shape ``(images, ...)``.
        conditioning: Conditioning of each candidate, shape ``(candidates, ...)``.
        trials: Timesteps and noise, the same for all candidates of an image.
        strategy: Which candidates stay after each block.
        loss: Compares noise with what the model says, and decides which candidates stay.
        other_losses: Further ones, computed of the same forward passes.
        labels: Label of each candidate, shape ``(candidates,)``; its index when not given.
        names: Names of the candidates, for messages.
        evaluations_per_batch: Largest number of evaluations in one forward pass.
        on_progress: Called with the number of evaluations of each forward pass.

    Returns:
        The error table of the images.

    Raises:
        InputError: If the losses are unknown or the same, or the model gives an error that is not
            finite; the message names the candidate and the timestep.
    """
    losses = get_losses(loss, other_losses)
    decides = losses[0].name
    num_images, num_candidates = len(x_0), len(conditioning)
    device = x_0.device
    if labels is None:
        labels = torch.arange(num_candidates, device=device)
    shape = (num_images, num_candidates, len(trials))
    empty = torch.full(shape, torch.nan, dtype=torch.float32, device=device)
    tables = {one.name: empty.clone() for one in losses}
    alive = torch.ones(shape[:2], dtype=torch.bool, device=device)

    for block, span in enumerate(trials.blocks):
        pairs = alive.nonzero()
        work = len(pairs) * len(span)
        for batch, valid in _batches(work, evaluations_per_batch, device):
            image, candidate = pairs[batch // len(span)].unbind(dim=1)
            trial = batch % len(span) + span.start
            timestep, noise = trials.of(image, trial)
            x_t = model.add_noise(x_0[image], noise, timestep)
            prediction = model.predict(x_t, timestep, conditioning[candidate])
            place = image[:valid], candidate[:valid], trial[:valid]
            for one in losses:
                tables[one.name][place] = one(noise, prediction)[:valid]
            if on_progress is not None:
                on_progress(valid)
        for name, table in tables.items():
            done = table[..., span.start : span.stop]
            _check_finite(name, done, alive, trials.timesteps[span.start : span.stop], names)
        alive = strategy.survivors(block, tables[decides][..., : span.stop], alive)
    return ErrorTable(tables.pop(decides), alive, labels, tables)


def _batches(work: int, largest: int, device: torch.device) -> Iterator[tuple[Tensor, int]]:
    """Flat indices in as few batches as fit, all of one size, and how many of each count.

    The last batch is filled up with repeats of the last index, fewer than there are batches.
    """
    if work == 0:
        return
    count = -(-work // largest)
    size = -(-work // count)
    index = torch.arange(count * size, device=device).clamp(max=work - 1)
    for start in range(0, work, size):
        yield index[start : start + size], min(size, work - start)


def _check_finite(
    loss: str, errors: Tensor, alive: Tensor, timesteps: Tensor, names: Sequence[str] | None
) -> None:
    bad = ~errors.isfinite() & alive[..., None]
    if not bad.any():
        return
    image, candidate, trial = bad.nonzero()[0].tolist()
    name = candidate if names is None else repr(names[candidate])
    raise InputError(
        f"Expected finite errors, but the model gave {errors[image, candidate, trial].item()} for "
        f"candidate {name} at timestep {timesteps[trial].item()} ({loss}, image {image} of the "
        f"batch, {int(bad.sum())} of {int(alive.sum()) * errors.shape[-1]} evaluations). Check the "
        "weights (a damaged file?) and the precision (float16 overflows where bfloat16 does not)."
    )
