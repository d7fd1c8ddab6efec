"""What a classifier says of a batch, whatever it is made of, and what becomes of it.

These are not frozen: Lightning moves them between devices by writing to their fields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from diffclf_lightning.evaluation import ErrorTable, Filling, Score


@dataclass
class Shortlisted:
    """How a shortlist ranked the candidates of some images, each of ``(images, candidates)``.

    Args:
        scores: Scores as they came, lower is better, infinite where passed over, float32.
        ranks: Place of each candidate, 0 the first, int64; the bias of scores is taken off.
        kept: Candidates that race, bool.
        evaluations: Model evaluations that it took, int64, shape ``(images,)``.
    """

    scores: Tensor
    ranks: Tensor
    kept: Tensor
    evaluations: Tensor

    def cpu(self) -> "Shortlisted":
        """The same on the CPU."""
        return Shortlisted(**{name: tensor.cpu() for name, tensor in vars(self).items()})


@dataclass
class Answer:
    """A classifier's answer for some images among some candidates.

    Args:
        labels: Label of each candidate, int64, shape ``(candidates,)``.
        scores: Scores of candidates by name, the one that decides first; lower is better, infinite
            where never evaluated, each float32 of shape ``(images, candidates)``.
        standard_errors: Standard error of each deciding score's difference to the best one, NaN
            where unknown, shape ``(images, candidates)``.
        counts: Number of trials of each candidate, shape ``(images, candidates)``.
        evaluations: Model evaluations of each image, int64, shape ``(images,)``.
        table: The error table, where there is one and it is to be kept.
        shortlist: How a shortlist ranked the candidates, where there is one.
        filling: How full the forward passes were, where that was counted.
        means: Plain means of candidates by score, which scores of different images can be compared
            by, each of shape ``(images, candidates)``. Defaults to None: ``scores`` are such.
    """

    labels: Tensor
    scores: dict[str, Tensor]
    standard_errors: Tensor
    counts: Tensor
    evaluations: Tensor
    table: ErrorTable | None = None
    shortlist: Shortlisted | None = None
    filling: Filling | None = None
    means: dict[str, Tensor] | None = None

    @classmethod
    def from_table(
        cls,
        table: ErrorTable,
        scores: Sequence[Score],
        *,
        keep_errors: bool = False,
        shortlist: Shortlisted | None = None,
    ) -> "Answer":
        """The answer that an error table gives.

        Args:
            table: Errors of the images.
            scores: The scores, the one that decides first.
            keep_errors: Whether the table is kept in the answer.
            shortlist: How the candidates were ranked before.

        Returns:
            The answer.
        """
        scored = {score.name: table.scored(score) for score in scores}
        return cls(
            table.labels,
            {name: candidates.scores for name, candidates in scored.items()},
            scored[scores[0].name].difference_standard_errors,
            table.counts,
            table.evaluations + (0 if shortlist is None else shortlist.evaluations),
            table if keep_errors else None,
            shortlist,
            means={name: candidates.means for name, candidates in scored.items()},
        )

    @property
    def decisive(self) -> Tensor:
        """The scores that decide, shape ``(images, candidates)``."""
        return next(iter(self.scores.values()))

    @property
    def others(self) -> dict[str, Tensor]:
        """The other scores, by name."""
        return dict(list(self.scores.items())[1:])

    def cpu(self) -> "Answer":
        """The same on the CPU."""
        fields: dict[str, Any] = {
            k: v.cpu() for k, v in vars(self).items() if isinstance(v, Tensor)
        }
        scores = {name: values.cpu() for name, values in self.scores.items()}
        means = self.means and {name: values.cpu() for name, values in self.means.items()}
        table = None if self.table is None else self.table.cpu()
        shortlist = None if self.shortlist is None else self.shortlist.cpu()
        return replace(self, **fields, scores=scores, means=means, table=table, shortlist=shortlist)


@dataclass
class Predictions:
    """Results of a batch of a set.

    Args:
        set_name: Name of the set.
        keys: A stable name of each sample in its set.
        rows: Which rows of the batch these samples are.
        digests: A hash of what was asked of each sample.
        seconds: Time of each sample.
        columns: What the task makes of the answer, one row a sample: tensors or lists by name.
            ``predictions["prediction"]`` is one of them.
        table: The error table of the images, where it is kept.
        filling: How full the forward passes were, where that was counted.
        blocks: Number of images and of candidates of each sample. Defaults to None: one image a
            sample, and all candidates.
    """

    set_name: str
    keys: list[str]
    rows: list[int]
    digests: list[str]
    seconds: float
    columns: dict[str, Any]
    table: ErrorTable | None = None
    filling: Filling | None = None
    blocks: Sequence[tuple[int, int]] | None = None

    def __getitem__(self, column: str) -> Any:
        """A column."""
        return self.columns[column]


Batch = dict[str, Any]


def as_batch(batch: Any) -> Batch:
    """A batch as a mapping.

    Args:
        batch: A mapping; a sequence of images, labels and whatever else, which is left out; images
            alone, in a sequence or not.

    Returns:
        The mapping, with ``image`` and, where it is known, ``label``.
    """
    if isinstance(batch, Mapping):
        return dict(batch)
    if isinstance(batch, Sequence):
        return dict(zip(("image", "label"), batch, strict=False))
    return {"image": batch}


def readable(batch: Batch) -> Batch:
    """The samples of a batch that could be read.

    Args:
        batch: The batch; where it has an entry ``readable``, that says which.

    Returns:
        The batch without the others.
    """
    could = batch.get("readable")
    return batch if could is None else select(batch, could.nonzero().flatten().tolist())


def select(batch: Batch, rows: Sequence[int]) -> Batch:
    """Some samples of a batch.

    Args:
        batch: Tensors and lists, one row a sample; anything else is passed on as it is.
        rows: Their places.

    Returns:
        The batch of these samples.
    """
    size = batch_size(batch)
    index = torch.tensor(list(rows), dtype=torch.int64)
    chosen: Batch = {}
    for name, values in batch.items():
        if isinstance(values, Tensor) and values.ndim and len(values) == size:
            chosen[name] = values[index.to(values.device)]
        elif isinstance(values, Sequence) and not isinstance(values, str) and len(values) == size:
            chosen[name] = [values[row] for row in rows]
        else:
            chosen[name] = values
    return chosen


def batch_size(batch: Batch) -> int:
    """Number of samples of a batch: the length of ``image``, or of its first tensor or list."""
    if isinstance(batch.get("image"), Tensor):
        return len(batch["image"])
    tensors = [v for v in batch.values() if isinstance(v, Tensor) and v.ndim]
    lists = [v for v in batch.values() if isinstance(v, Sequence) and not isinstance(v, str)]
    return len([*tensors, *lists][0])
