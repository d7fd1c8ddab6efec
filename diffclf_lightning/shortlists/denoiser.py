"""Shortlist by a cheaper denoiser: a few trials of another model, or of the same at less pixels."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from diffclf_lightning.candidates import Candidates, Condition, model_classes
from diffclf_lightning.compiling import eager
from diffclf_lightning.denoisers import Conditioning, Denoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import (
    Full,
    GoldenGrid,
    Loss,
    Noised,
    TrialSource,
    evaluate,
    get_loss,
)
from diffclf_lightning.prompts import PromptEnsemble
from diffclf_lightning.shortlists.base import Choice, Shortlist
from diffclf_lightning.shortlists.images import as_seen_by
from diffclf_lightning.weights import checksum


class DenoiserShortlist(Shortlist):
    """The candidates under which a cheaper model predicts the noise best.

    It sees the pixels that the model sees, brought to its size by its own transform, and encodes
    them itself. Its conditioning is its own: classes by name of a class-conditional model, prompts
    from its own template, or else the prompts of the classifier.

    Its evaluations count by their share of floating-point operations in one of the model's (matrix
    products and convolutions, as torch counts them), together and rounded up; where that cannot be
    told, in full. So ``evaluations`` of a run stay a measure of what it took.

    Args:
        denoiser: The cheaper model.
        keep: Candidates of each image that are kept. Defaults to None: as many as ``calibration``
            says, or else all.
        trials: Trials of each candidate, at well-spread times.
        template: Prompt template with ``{}`` for the class name, where the cheaper model is told
            prompts and the classifier has others, or class ids.
        loss: Name of the loss. Defaults to None: the one that decides.
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote.

    Raises:
        InputError: If an argument is out of range, or the calibration is of another shortlist.
    """

    _told: Conditioning
    """What the model is told, a row a condition."""
    _rows: Tensor
    """Row of each candidate: those of one class share theirs."""
    _source: TrialSource
    _loss: Loss
    _names: list[str]
    _operations: tuple[int, int]
    """Operations of an evaluation, and of one of the classifier's model."""

    def __init__(
        self,
        denoiser: Denoiser,
        keep: int | None = None,
        trials: int = 8,
        template: str | None = None,
        loss: str | None = None,
        calibration: str | Path | None = None,
    ) -> None:
        if not isinstance(denoiser, Denoiser):
            raise InputError(
                "Expected argument `denoiser` of DenoiserShortlist to be a trained model, but got "
                f"{type(denoiser).__name__}. Load one: AutoDenoiser.from_pretrained(...)."
            )
        if trials < 1:
            raise InputError(
                f"Expected argument `trials` of DenoiserShortlist to be at least 1, but got "
                f"{trials}. Take 8."
            )
        self.denoiser, self.trials = denoiser, trials
        self.template, self.loss = template, loss
        super().__init__(keep, calibration)

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {
            "denoiser": type(self.denoiser).__name__,
            "weights": checksum(self.denoiser),
            "sample_shape": list(self.denoiser.sample_shape),
            "trials": self.trials,
            "template": self.template,
            "loss": self.loss,
        }

    @torch.no_grad()
    def bind(self, choice: Choice) -> Self:
        bound = super().bind(choice)
        self.denoiser.to(choice.device).eval()
        bound._loss = choice.loss if self.loss is None else get_loss(self.loss)
        if bound._loss.needs_variance and not self.denoiser.predicts_variance:
            raise InputError(
                f"Expected argument `denoiser` of DenoiserShortlist to predict its variance for "
                f"loss {bound._loss.name!r}, but got {type(self.denoiser).__name__}, which "
                "predicts noise alone. Give the shortlist a `loss` of its own: l2."
            )
        conditions = self._conditions(choice.candidates)
        row_of = {condition: row for row, condition in enumerate(dict.fromkeys(conditions))}
        bound._told = self.denoiser.condition(list(row_of))
        bound._rows = torch.tensor([row_of[one] for one in conditions], device=choice.device)
        shape = self.denoiser.sample_shape
        bound._source = TrialSource(GoldenGrid(), choice.noise, (self.trials,), shape)
        bound._names = [str(condition) for condition in row_of]
        own = _operations(self.denoiser, bound._told)
        full = _operations(choice.denoiser, choice.conditioning)
        bound._operations = (own, full) if own and full else (1, 1)
        return bound

    def _conditions(self, candidates: Candidates) -> list[Condition]:
        """What the model is told of each candidate."""
        names, model = candidates.classnames, self.denoiser
        if self.template is not None:
            own = PromptEnsemble(self.template).candidates(names)
        elif model.num_classes is not None:
            own = model_classes(names, model.num_classes, model.classnames, by_position=False)
        elif all(isinstance(condition, int) for condition in candidates.conditions):
            raise InputError(
                f"Expected argument `template` of DenoiserShortlist, since "
                f"{type(model).__name__} is told prompts and the classifier has class ids. Give "
                "for instance 'a photo of a {}.'."
            )
        else:
            return list(candidates.conditions)
        return own.of_labels(candidates.own_labels)

    def evaluations(self, num_candidates: int) -> int:
        return int(self._counted(torch.tensor(self._told.num_rows * self.trials)))

    def _counted(self, evaluations: Tensor) -> Tensor:
        """Numbers of evaluations, int64, as evaluations of the classifier's model, rounded up."""
        own, full = self._operations
        return -(-evaluations * own).div(full, rounding_mode="floor")

    def scores(
        self, images: Tensor, x_0: Tensor, allowed: Tensor, evaluations_per_batch: int
    ) -> tuple[Tensor, Tensor]:
        model, (num_images, _), rows = self.denoiser, allowed.shape, self._told.num_rows
        seen = as_seen_by(model.transform, model.image_shape, images).to(x_0.device)
        asked = torch.zeros((num_images, rows), dtype=torch.int64, device=x_0.device)
        asked = asked.index_add_(1, self._rows, allowed.long()) > 0
        with torch.no_grad():
            encoded = model.encode(seen)
        table = evaluate(
            model,
            encoded,
            self._told,
            self._source(images),
            Full(self.trials).bind(rows, self._source.ends),
            [self._loss],
            allowed=asked,
            names=self._names,
            evaluations_per_batch=evaluations_per_batch,
        )
        means = table[self._loss.name].means.float().nan_to_num(nan=torch.inf)
        return means[:, self._rows], self._counted(table.evaluations)


@torch.no_grad()
def _operations(model: Denoiser, told: Conditioning) -> int:
    """Floating-point operations of one evaluation, as torch counts them; 0 if it cannot."""
    sample = torch.zeros((1, *model.sample_shape), dtype=torch.float32, device=model.device)
    noised = Noised(sample, sample, model.at([Fraction(1, 2)]).to(model.device))
    first = told.rows(torch.zeros(1, dtype=torch.int64, device=model.device))
    with FlopCounterMode(display=False) as counter, eager():
        model.predict(noised, first)
    return int(counter.get_total_flops())
