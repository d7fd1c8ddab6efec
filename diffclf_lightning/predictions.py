"""What every classifier of this package says of a batch, whatever it is made of.

These are not frozen: Lightning moves them between devices by writing to their fields.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from diffclf_lightning.evaluation import ErrorTable


@dataclass
class ByLoss:
    """The answer for some images by another loss.

    Args:
        predictions: Predicted labels, int64, shape ``(images,)``.
        scores: Label scores, as in :class:`Outcome`.
    """

    predictions: Tensor
    scores: Tensor

    def cpu(self) -> "ByLoss":
        """The same on the CPU."""
        return ByLoss(self.predictions.cpu(), self.scores.cpu())


@dataclass
class Outcome:
    """A classifier's answer for some images.

    Args:
        predictions: Predicted labels, int64, shape ``(images,)``.
        scores: Label scores, lower is better, infinite for a label that is no candidate, float32,
            shape ``(images, labels)``.
        probabilities: Posterior, of the same shape.
        standard_errors: Standard error of each score's difference to the best one.
        counts: Number of trials of each label.
        evaluations: Model evaluations of each image, int64, shape ``(images,)``.
        table: The error table, where there is one.
        others: Answers by other losses, by the name of the loss.
    """

    predictions: Tensor
    scores: Tensor
    probabilities: Tensor
    standard_errors: Tensor
    counts: Tensor
    evaluations: Tensor
    table: ErrorTable | None = None
    others: dict[str, ByLoss] = field(default_factory=dict)

    @classmethod
    def from_table(cls, table: ErrorTable, num_labels: int, temperature: float) -> "Outcome":
        """The answer that an error table gives.

        Args:
            table: Errors of the images.
            num_labels: Number of labels.
            temperature: Factor on mean errors in the posterior.

        Returns:
            The answer.
        """
        best = table.best_candidates(num_labels)
        under = {name: table.under(name) for name in table.others}
        return cls(
            predictions=table.predictions,
            scores=table.label_scores(num_labels),
            probabilities=table.posterior(num_labels, temperature),
            standard_errors=table.per_label(table.difference_standard_errors, best, torch.nan),
            counts=table.per_label(table.counts, best, 0),
            evaluations=table.evaluations,
            table=table,
            others={k: ByLoss(t.predictions, t.label_scores(num_labels)) for k, t in under.items()},
        )

    def cpu(self) -> "Outcome":
        """The same on the CPU, without the error table's tensors moved."""
        fields = vars(self).items()
        tensors: dict[str, Any] = {k: v.cpu() for k, v in fields if isinstance(v, Tensor)}
        return replace(self, **tensors, others={k: v.cpu() for k, v in self.others.items()})


@dataclass
class Predictions:
    """Results of a batch of a test set.

    Args:
        set_name: Name of the test set.
        keys: A stable name of each image in its set.
        rows: Which rows of the batch these images are.
        labels: True labels, int64, shape ``(images,)``, or none where the batch has none.
        digests: A hash of each image's pixels.
        seconds: Time of each image.
        outcome: The classifier's answer, on the CPU.
    """

    set_name: str
    keys: list[str]
    rows: list[int]
    labels: Tensor | None
    digests: list[str]
    seconds: float
    outcome: Outcome


@dataclass
class Stored:
    """The answer for one image, from an earlier run.

    Args:
        outcome: The answer.
        label: True label, if it was known.
        digest: Hash of the image's pixels.
        seconds: Time that it took.
    """

    outcome: Outcome
    label: int | None
    digest: str
    seconds: float
