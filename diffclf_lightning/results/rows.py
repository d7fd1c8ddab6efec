"""Rows: one a sample, as Arrow tables.

Errors, where they are stored, take memory for what was evaluated: ``trial_counts`` has the number
of trials of each candidate, ``errors`` by name of the loss the errors, candidate by candidate. The
times of the trials stand once in ``run.json``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from diffclf_lightning.answers import Predictions
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
        values |= _stored_errors(predictions.table, count)
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


def _stored_errors(table: ErrorTable, samples: int) -> dict[str, Any]:
    counts = table.counts.reshape(samples, -1)
    reference = table.reference
    return {
        "trial_counts": counts.int(),
        "errors": _cut(table.errors, counts.sum(dim=1).tolist()),
        "reference_errors": None
        if reference is None
        else _cut(reference.errors, reference.counts.reshape(samples, -1).sum(dim=1).tolist()),
    }


def _cut(errors: Mapping[str, Tensor], sizes: Sequence[int]) -> dict[str, list[list[float]]]:
    spans = list(pairwise(accumulate(sizes, initial=0)))
    return {name: [flat[a:b].tolist() for a, b in spans] for name, flat in errors.items()}


def error_table(rows: pa.Table, labels: Tensor, timesteps: Timesteps) -> ErrorTable:
    """The error table of some stored rows of one set.

    Args:
        rows: Rows with stored errors, one image each.
        labels: Label of each candidate of the set, shape ``(candidates,)``.
        timesteps: The times of all trials.

    Returns:
        The table.
    """
    counts = torch.from_numpy(np.stack(rows["trial_counts"].to_numpy())).long()

    def flat(column: str) -> dict[str, Tensor]:
        parts: dict[str, list[Any]] = {}
        for pairs in rows[column].to_pylist():
            for name, errors in pairs or ():
                parts.setdefault(name, []).append(np.asarray(errors, dtype=np.float32))
        return {name: torch.from_numpy(np.concatenate(every)) for name, every in parts.items()}

    table = ErrorTable(flat("errors"), counts, labels, counts > 0, timesteps)
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
    """

    rows: pa.Table

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {key: place for place, key in enumerate(self.rows["key"].to_pylist())}

    @cached_property
    def _digests(self) -> list[str]:
        digests: list[str] = self.rows["digest"].to_pylist()
        return digests

    def place(self, key: str) -> int | None:
        """Place of a row, or None where there is none of that key."""
        return self._places.get(key)

    def digest(self, place: int) -> str:
        """Digest of a row."""
        return self._digests[place]
