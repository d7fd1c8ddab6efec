"""Pairs of runs, image by image.

Images are the same where their keys are and their labels agree: by name where both runs know the
names of their classes, else by number. Digests cannot decide it, for they are of the pixels that a
model takes, and models that take images of other sizes have others for the same file; whether they
agree is told. Keys of images without a name of their own are their
positions in the data set, so that there the labels alone say whether two data sets differ.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from diffclf_lightning.metrics import KINDS, PairedCounts, holm
from diffclf_lightning.results import RunFolder

COLUMNS = ("label", "prediction", "label_name")
UNORDERED = "unordered-"
"""Begins the keys of images of which nothing but the order of arrival is known."""


@dataclass(frozen=True)
class Answered:
    """The labelled images of a run on a set, in the order of their keys.

    Args:
        keys: Their keys, shape ``(images,)`` as all that follow.
        digests: Hashes of the pixels that the model took, and of the label.
        labels: True labels.
        names: Names of the true labels; None where the run does not know them.
        right: Whether the prediction is the label.
    """

    keys: NDArray[np.object_]
    digests: NDArray[np.object_]
    labels: NDArray[np.int64]
    names: NDArray[np.object_] | None
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: pa.Table) -> "Answered":
        """The images of stored rows.

        Args:
            rows: Rows of one set with labels, each key once.
        """
        rows = rows.sort_by("key")
        arrays = {name: rows[name].to_numpy() for name in rows.schema.names}
        named = "label_name" in arrays and not rows["label_name"].null_count
        return cls(
            arrays["key"],
            arrays["digest"],
            arrays["label"],
            arrays["label_name"] if named else None,
            arrays["label"] == arrays["prediction"],
        )


@dataclass(frozen=True)
class RunPair:
    """Two runs on a set.

    Args:
        set: Name of the set.
        first: Name of the one run.
        second: Name of the other.
        counts: Who is right where; None where the images do not compare.
        same_pixels: Whether both models are known to have taken the same pixels.
        adjusted: The p-value, adjusted for all pairs that are tested.
        note: Why there is no test, or what a reader of it has to know.
    """

    set: str
    first: str
    second: str
    counts: PairedCounts | None = None
    same_pixels: bool = False
    adjusted: float | None = None
    note: str = ""

    def record(self) -> dict[str, Any]:
        """Plain values of a row of a CSV file; differences are fractions."""
        counts = self.counts
        interval = None if counts is None else counts.interval()
        return {
            "set": self.set,
            "first": self.first,
            "second": self.second,
            "images": None if counts is None else counts.total,
            "both_right": None if counts is None else counts.both,
            "only_first_right": None if counts is None else counts.first,
            "only_second_right": None if counts is None else counts.second,
            "neither_right": None if counts is None else counts.neither,
            "difference": None if counts is None else counts.difference,
            "difference_lower": None if interval is None else interval.lower,
            "difference_upper": None if interval is None else interval.upper,
            "p_value": None if counts is None else counts.p_value,
            "p_value_holm": self.adjusted,
            "same_pixels": None if counts is None else self.same_pixels,
            "note": self.note,
        }


def read_pairs(
    runs: Mapping[str, RunFolder], *, reference: str | None = None, common: bool = False
) -> list[RunPair]:
    """All pairs of runs that share a labelled set.

    Args:
        runs: Finished runs by name.
        reference: A run; only its pairs are made, and it is the second of each. Defaults to None:
            all pairs.
        common: Whether runs with a part of their images in common are tested on that part.

    Returns:
        The pairs, by set.

    Raises:
        InputError: If rows cannot be read.
    """
    answered = {name: read_answered(run) for name, run in runs.items()}
    sets = list(dict.fromkeys(name for one in answered.values() for name in one))
    return [
        compare(name, (first, answered[first][name]), (second, answered[second][name]), common)
        for name in sets
        for first, second in _pairs([run for run in runs if name in answered[run]], reference)
    ]


def adjusted(pairs: Sequence[RunPair]) -> list[RunPair]:
    """Pairs with p-values that are adjusted for all of them, by Holm's method.

    Args:
        pairs: All pairs that are told together.
    """
    p_values = iter(holm([pair.counts.p_value for pair in pairs if pair.counts is not None]))
    return [
        pair if pair.counts is None else replace(pair, adjusted=next(p_values)) for pair in pairs
    ]


def read_answered(run: RunFolder) -> dict[str, Answered]:
    """The labelled images of a run, by set.

    Args:
        run: A finished run.
    """
    rows = run.rows([*COLUMNS, *KINDS, "captions"])
    if rows is not None and set(KINDS) <= set(rows.schema.names):
        return _of_examples(rows)
    if rows is None or not {"label", "prediction"} <= set(rows.schema.names):
        return {}
    labelled = rows.filter(pc.is_valid(rows["label"]))
    return {
        name: Answered.of(labelled.filter(pc.field("set") == name))
        for name in labelled["set"].unique().to_pylist()
    }


def _of_examples(rows: pa.Table) -> dict[str, Answered]:
    """Examples of images and captions, once for each kind of score; captions are their labels."""
    found = {}
    for name in rows["set"].unique().to_pylist():
        chosen = rows.filter(pc.field("set") == name).sort_by("key")
        keys, digests = chosen["key"].to_numpy(), chosen["digest"].to_numpy()
        said = np.array([_number(captions) for captions in chosen["captions"].to_pylist()])
        for kind in KINDS:
            has = ~chosen[kind].is_null().to_numpy()
            if has.any():
                right = chosen[kind].filter(has).to_numpy(zero_copy_only=False).astype(bool)
                some = Answered(keys[has], digests[has], said[has], None, right)
                found[f"{name}, {kind} score"] = some
    return found


def _number(captions: Sequence[str]) -> int:
    """A number that other captions do not have."""
    digest = hashlib.blake2b(json.dumps(list(captions)).encode(), digest_size=7)
    return int.from_bytes(digest.digest(), "big")


def compare(
    name: str, first: tuple[str, Answered], second: tuple[str, Answered], common: bool
) -> RunPair:
    """Two runs on a set.

    Args:
        name: Of the set.
        first: Name and images of the one run.
        second: Name and images of the other.
        common: Whether they are tested on a part of their images.
    """
    (one, a), (two, b) = first, second
    pair = RunPair(name, one, two)
    if any(len(keys) and keys[0].startswith(UNORDERED) for keys in (a.keys, b.keys)):
        return replace(pair, note="no test: images without a name, from a loader without an order")
    shared, in_a, in_b = np.intersect1d(a.keys, b.keys, assume_unique=True, return_indices=True)
    whole = len(shared) == len(a.keys) == len(b.keys)
    of_all = f"{len(shared)} of the {len(a.keys)} and {len(b.keys)} images are in both"
    if not len(shared) or not (whole or common):
        remedy = "; --common tests on those" if len(shared) else ""
        return replace(pair, note=f"no test: {of_all}{remedy}")
    other = _other_labels(a, b, in_a, in_b)
    if other:
        return replace(pair, note=f"no test: {other} of {len(shared)} images have another label")
    return replace(
        pair,
        counts=PairedCounts.of(a.right[in_a], b.right[in_b]),
        same_pixels=bool((a.digests[in_a] == b.digests[in_b]).all()),
        note="" if whole else f"on the common images alone: {of_all}",
    )


def _other_labels(
    a: Answered, b: Answered, in_a: NDArray[np.int64], in_b: NDArray[np.int64]
) -> int:
    if a.names is not None and b.names is not None:
        return int((a.names[in_a] != b.names[in_b]).sum())
    return int((a.labels[in_a] != b.labels[in_b]).sum())


def _pairs(runs: Sequence[str], reference: str | None) -> Iterator[tuple[str, str]]:
    if reference is None:
        return combinations(runs, 2)
    return ((run, reference) for run in runs if reference in runs and run != reference)
