"""Rows: one a sample, as Arrow tables.

Errors, where they are stored, take memory for what was evaluated: ``trial_counts`` has the number
of trials of each candidate, ``errors`` by name of the loss the errors, candidate by candidate. The
times of the trials stand once in ``run.json``.
"""

from collections.abc import KeysView, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffclf_lightning.answers import Predictions
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import ErrorTable, Timesteps

COMMON = pa.schema(
    {
        "set": pa.string(),
        "key": pa.string(),
        "digest": pa.string(),
        "evaluations": pa.int64(),
        "seconds": pa.float64(),
        "underfilled": pa.float64(),
        "repeats": pa.float64(),
    }
)
"""Columns of every row, whatever the task; the last three are means over the batch of the image."""
BY_LOSS = pa.map_(pa.string(), pa.list_(pa.float32()))
ERRORS = pa.schema(
    {
        "trial_counts": pa.list_(pa.int32()),
        "errors": BY_LOSS,
        "reference_errors": BY_LOSS,
    }
)
"""Columns of stored errors."""


def rows_of(predictions: Predictions, schema: pa.Schema) -> pa.Table:
    """Rows of a batch.

    Args:
        predictions: Results of the batch; where they have an error table, errors are stored.
        schema: Columns of the task.

    Returns:
        The rows.
    """
    count = len(predictions.keys)
    values: dict[str, Any] = {
        **predictions.columns,
        "set": [predictions.set_name] * count,
        "key": predictions.keys,
        "digest": predictions.digests,
        "seconds": [predictions.seconds] * count,
        "underfilled": None,
        "repeats": None,
    }
    if (filling := predictions.filling) is not None:
        values["underfilled"] = [filling.underfilled / count] * count
        values["repeats"] = [filling.repeats / count] * count
    fields = [*COMMON, *schema]
    if predictions.table is not None:
        fields += list(ERRORS)
        blocks = predictions.blocks or [(1, predictions.table.counts.shape[1])] * count
        values |= _stored_errors(predictions.table, blocks, predictions.blocks is not None)
    arrays = [_array(values[field.name], field.type, count) for field in fields]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _array(values: Any, kind: pa.DataType, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, kind)
    if isinstance(values, Mapping):
        plain = {name: v.tolist() if isinstance(v, Tensor) else v for name, v in values.items()}
        pairs = [[(name, column[row]) for name, column in plain.items()] for row in range(count)]
        return pa.array(pairs, kind)
    if isinstance(values, Tensor) and values.ndim == 2:
        width = values.shape[1]
        offsets = pa.array(np.arange(count + 1, dtype=np.int32) * width)
        flat = pa.array(values.flatten().numpy(), kind.value_type)
        return pa.ListArray.from_arrays(offsets, flat)
    return pa.array(values.numpy() if isinstance(values, Tensor) else values, kind)


def _stored_errors(
    table: ErrorTable, blocks: Sequence[tuple[int, int]], own_candidates: bool
) -> dict[str, Any]:
    """Errors of each sample, of its images and of its candidates where it has some of its own."""
    images = [size for size, _ in blocks]
    counts = list(table.counts.split(images))
    if own_candidates:
        ends = list(accumulate((size for _, size in blocks), initial=0))
        counts = [c[:, a:b] for c, (a, b) in zip(counts, pairwise(ends), strict=True)]
    stored = {
        "trial_counts": [some.flatten().int().tolist() for some in counts],
        "errors": _cut(table.errors, [int(some.sum()) for some in counts]),
        "reference_errors": None,
    }
    if (reference := table.reference) is not None:
        met = [int(some.sum()) for some in reference.counts.split(images)]
        stored["reference_errors"] = _cut(reference.errors, met)
    return stored


def _cut(errors: Mapping[str, Tensor], sizes: Sequence[int]) -> dict[str, list[list[float]]]:
    spans = list(pairwise(accumulate(sizes, initial=0)))
    return {name: [flat[a:b].tolist() for a, b in spans] for name, flat in errors.items()}


def lists_of(rows: pa.Table, column: str) -> NDArray[Any]:
    """A column of lists of numbers as an array.

    Args:
        rows: Some rows, at least one.
        column: Its name.

    Returns:
        Numbers, shape ``(rows, numbers)``.

    Raises:
        InputError: If the lists are not equally long.
    """
    kind = rows.schema.field(column).type
    lists = rows[column].to_numpy() if pa.types.is_list(kind) else []
    lengths = {-1 if one is None else len(one) for one in lists}
    if len(lengths) != 1 or -1 in lengths:
        raise InputError(
            f"Expected stored rows with as many {column!r} each, but got others. The file is "
            "damaged, or has been changed: run `diffclf test` again."
        )
    return np.stack(lists)


def error_table(
    rows: pa.Table, labels: Tensor, timesteps: Timesteps, images: Sequence[int] | None = None
) -> ErrorTable:
    """The error table of some stored rows of one set.

    Args:
        rows: Rows with stored errors.
        labels: Label of each candidate of the set, shape ``(candidates,)``.
        timesteps: The times of all trials.
        images: Number of images of each row, where each has candidates of its own. Defaults to
            None: one image a row, and all candidates.

    Returns:
        The table.

    Raises:
        InputError: If there are not as many errors as trials.
    """
    own = [torch.from_numpy(row.astype(np.int64)) for row in rows["trial_counts"].to_numpy()]
    if images is None:
        counts = torch.stack(own)
    else:
        blocks = zip(own, images, strict=True)
        counts = torch.block_diag(*(row.reshape(size, -1) for row, size in blocks))
        labels = torch.arange(counts.shape[1])

    def flat(column: str) -> dict[str, Tensor]:
        parts: dict[str, list[Any]] = {}
        for pairs in rows[column].to_pylist():
            for name, errors in pairs or ():
                parts.setdefault(name, []).append(np.asarray(errors, dtype=np.float32))
        return {name: torch.from_numpy(np.concatenate(every)) for name, every in parts.items()}

    errors = flat("errors")
    for name, values in errors.items():
        if len(values) != int(counts.sum()):
            raise InputError(
                f"Expected as many stored errors {name!r} as trials, but got {len(values)} for "
                f"{int(counts.sum())}. The file is damaged, or has been changed: run `diffclf "
                "test` again."
            )
    table = ErrorTable(errors, counts, labels, counts > 0, timesteps)
    if rows["reference_errors"].null_count:
        return table
    met = counts.amax(dim=1, keepdim=True)
    reference = ErrorTable(flat("reference_errors"), met, labels[:1], met > 0, timesteps)
    return ErrorTable(table.errors, counts, labels, counts > 0, timesteps, reference)


def timesteps_of(description: Mapping[str, Any]) -> Timesteps:
    """The times of the trials of a run with stored errors.

    Args:
        description: Content of its ``run.json``.
    """
    trials = description["trials"]
    alpha, sigma = torch.tensor(trials["alpha"]), torch.tensor(trials["sigma"])
    time = torch.tensor([float(Fraction(text)) for text in trials["time"]])
    unknown = torch.full_like(time, torch.nan)
    return Timesteps(time, alpha, sigma, unknown, unknown, unknown)


@dataclass(frozen=True)
class StoredRows:
    """Rows of one set from an earlier run, with the columns that a continued run needs.

    Args:
        rows: The rows, each key once.
        replaceable: Whether other samples may take the place of theirs, instead of being refused.
    """

    rows: pa.Table
    replaceable: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {key: place for place, key in enumerate(self.rows["key"].to_pylist())}

    @cached_property
    def _digests(self) -> list[str]:
        digests: list[str] = self.rows["digest"].to_pylist()
        return digests

    @property
    def keys(self) -> KeysView[str]:
        """The keys."""
        return self._places.keys()

    def place(self, key: str) -> int | None:
        """Place of a row, or None where there is none of that key."""
        return self._places.get(key)

    def digest(self, place: int) -> str:
        """Digest of a row."""
        return self._digests[place]
