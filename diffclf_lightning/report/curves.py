"""Errors over time of the best candidates of an image, from stored errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from diffclf_lightning.candidates import Candidates
from diffclf_lightning.report.contents import RunContents
from diffclf_lightning.results import error_table, timesteps_of

BEST = 5
"""Labels that are shown of each image."""
BINS = 10
"""Stretches of time over which error differences are averaged."""
ERRORS = ("trial_counts", "errors", "reference_errors")
"""Columns of stored errors."""


@dataclass(frozen=True)
class Curve:
    """Error of a candidate above the best one's, over time.

    Args:
        name: Name of its label.
        points: Pairs of the mean time and the mean difference of trials of like time.
    """

    name: str
    points: list[tuple[float, float]]


def curves_of(row: pa.Table, run: RunContents, set_name: str) -> list[Curve]:
    """The curves of one image.

    Args:
        row: Its row.
        run: The run.
        set_name: Name of the set.

    Returns:
        A curve of the best candidate of each of the best labels but the first; none where no errors
        are stored.
    """
    if not set(ERRORS) <= set(row.schema.names) or row["errors"].null_count:
        return []
    labels = candidate_labels(run.description, set_name)
    timesteps = timesteps_of(run.description)
    table = error_table(row, torch.tensor(labels), timesteps)
    scored = table[_decisive(run.description, table.errors)]
    errors, scores = scored.dense()[0].double().numpy(), scored.scores[0]
    first: dict[int, int] = {}  # the best candidate of each label
    for candidate in scores.argsort(stable=True).tolist():
        if scores[candidate].isfinite():
            first.setdefault(labels[candidate], candidate)
    best, *others = list(first.values())[:BEST]
    time = timesteps.time.numpy()
    return [
        Curve(run.names[labels[each]], binned(time, errors[each] - errors[best])) for each in others
    ]


def _decisive(description: Mapping[str, Any], losses: Mapping[str, Any]) -> str:
    """The loss that decided, or that which the deciding score weighs first."""
    named = [*description["scores"], *description["losses"]]
    return next(str(name) for name in named if name in losses)


def candidate_labels(description: Mapping[str, Any], set_name: str) -> Sequence[int]:
    """The label of each candidate of a set, in the order in which its errors are stored."""
    candidates = Candidates([str(c) for c in description["candidates"]], description["labels"])
    restricted = description.get("candidate_labels", {}).get(set_name)
    return (candidates if restricted is None else candidates.restrict(restricted)).labels


def binned(time: NDArray[Any], differences: NDArray[Any]) -> list[tuple[float, float]]:
    """Means of differences over stretches of time of equal length.

    Args:
        time: Time of all trials, in [0, 1), shape ``(trials,)``.
        differences: Differences of the first trials, NaN where never evaluated.

    Returns:
        Pairs of mean time and mean difference, in the order of time.
    """
    time = time[: len(differences)]
    known = ~np.isnan(differences)
    place = (time * BINS).astype(int)
    return [
        (float(time[inside].mean()), float(differences[inside].mean()))
        for each in range(BINS)
        if (inside := known & (place == each)).any()
    ]
