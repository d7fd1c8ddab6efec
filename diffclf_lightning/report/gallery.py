"""The gallery: a bounded choice of right, wrong and undecided images, and what is known of each."""

import base64
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from diffclf_lightning.images import UNREADABLE
from diffclf_lightning.report.contents import LISTS, RunContents, SetContents
from diffclf_lightning.report.curves import BEST, ERRORS, Curve, curves_of
from diffclf_lightning.results import RunFolder

COARSE = 48
"""Longest side, in pixels, of a picture whose pixels are shown as squares."""


@dataclass(frozen=True)
class Best:
    """One of the best labels of an image.

    Args:
        name: Name of the label.
        score: Its score, lower is better.
        above: Its score above that of the answer.
        spread: Standard error of that difference, NaN where unknown.
        probability: Its probability.
        trials: Trials that it met.
    """

    name: str
    score: float
    above: float
    spread: float
    probability: float
    trials: int


@dataclass(frozen=True)
class Card:
    """One image.

    Args:
        key: Its name in the set.
        picture: Its thumbnail as a ``data:`` address, or None.
        coarse: Whether that has so few pixels that each is to be seen.
        truth: Name of its label, or None where it is not known.
        answer: Name of the predicted label.
        right: Whether that is the true one.
        confidence: Probability of the predicted label.
        evaluations: Evaluations that it took.
        best: Its best labels, the answer first.
        curves: Errors over time of the best candidates, where errors are stored.
    """

    key: str
    picture: str | None
    coarse: bool
    truth: str | None
    answer: str
    right: bool
    confidence: float
    evaluations: int
    best: list[Best]
    curves: list[Curve]


@dataclass(frozen=True)
class Kind:
    """Images of one kind.

    Args:
        title: What they have in common, in a word.
        meaning: The same in a sentence, and which of them are shown.
        total: How many there are.
        cards: Those that are shown.
    """

    title: str
    meaning: str
    total: int
    cards: list[Card]


def chosen(contents: SetContents, most: int) -> dict[str, tuple[str, int, NDArray[np.int64]]]:
    """The images of each kind that are shown, those with a thumbnail first.

    Args:
        contents: The set.
        most: Images of each kind, at most.

    Returns:
        By the title of the kind what it means, how many images there are, and the places of those
        that are shown.
    """
    wrong = ~contents.right & contents.labelled
    decided = ~contents.undecided & ~wrong
    surest = np.lexsort([-contents["confidence"], ~contents.pictured])
    least = np.lexsort([contents["confidence"], ~contents.pictured])
    turns = np.flatnonzero(decided)[
        _turns(contents["prediction"][decided], contents.pictured[decided])
    ]
    title, meaning = "Right", "right and not undecided"
    if not contents.labelled:  # nobody knows
        title, meaning = "Decided", "not undecided"
    kinds = {
        "Wrong": ("the answer is not the true class; the surest first", wrong, surest),
        "Undecided": (
            "the runner-up is within one standard error of the best, or where no standard error is "
            "known no class has half of the probability; the least sure first",
            contents.undecided,
            least,
        ),
        title: (f"{meaning}; the classes in turn", decided, turns),
    }
    if not contents.labelled:
        del kinds["Wrong"]
    return {
        title: (meaning, int(members.sum()), order[members[order]][:most])
        for title, (meaning, members, order) in kinds.items()
    }


def _turns(labels: NDArray[Any], pictured: NDArray[np.bool_]) -> NDArray[np.int64]:
    """An order in which every label comes once before any comes again."""
    seen: Counter[tuple[float, bool]] = Counter()
    turn = []
    for pair in zip(labels.tolist(), pictured.tolist(), strict=True):
        seen[pair] += 1
        turn.append(seen[pair])
    return np.lexsort([labels, np.array(turn), ~pictured])


def galleries(run: RunContents, most: int) -> dict[str, list[Kind]]:
    """The gallery of every set of a run; the rows are read once, a bounded number at once.

    Args:
        run: The run.
        most: Images of each kind, at most.

    Returns:
        Kinds of images by set.
    """
    picks = {name: chosen(contents, most) for name, contents in run.sets.items()}
    keys = {
        name: {run.sets[name].keys[place] for _, _, places in kinds.values() for place in places}
        for name, kinds in picks.items()
    }
    details: dict[str, dict[str, Mapping[str, Any]]] = {name: {} for name in picks}
    for rows in RunFolder(run.path).batches([*LISTS, "probabilities", "thumbnail", *ERRORS]):
        for name in rows["set"].unique().to_pylist():
            wanted = pa.array(sorted(keys[name]), pa.string())
            here = (pc.field("set") == name) & pc.field("key").isin(wanted)
            picked = rows.filter(here)
            stored = [column for column in ERRORS if column in rows.schema.names]
            for place, row in enumerate(picked.drop_columns(stored).to_pylist()):
                curves = curves_of(picked.slice(place, 1), run, name)
                details[name][row["key"]] = {**row, "curves": curves}
    return {
        name: [
            Kind(title, meaning, total, [_card(run, name, i, details[name]) for i in places])
            for title, (meaning, total, places) in kinds.items()
        ]
        for name, kinds in picks.items()
    }


def _is_coarse(picture: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(picture)) as opened:
            return max(opened.size) <= COARSE
    except UNREADABLE:  # the page shows a broken one
        return False


def _card(
    run: RunContents, set_name: str, place: int, details: Mapping[str, Mapping[str, Any]]
) -> Card:
    contents = run.sets[set_name]
    row = details[contents.keys[place]]
    scores, probabilities = np.array(row["scores"]), np.array(row["probabilities"])
    order = np.lexsort([scores, -probabilities])[:BEST]  # priors may move the lowest score down
    picture, address = row.get("thumbnail"), None
    if picture is not None:
        address = f"data:image/webp;base64,{base64.b64encode(picture).decode()}"
    return Card(
        contents.keys[place],
        address,
        picture is not None and _is_coarse(picture),
        run.names[contents["label"][place]] if contents.labelled else None,
        run.names[contents["prediction"][place]],
        bool(contents.right[place]),
        float(contents["confidence"][place]),
        int(contents["evaluations"][place]),
        [
            Best(
                run.names[label],
                scores[label],
                scores[label] - scores[order[0]],
                row["standard_errors"][label],
                probabilities[label],
                row["counts"][label],
            )
            for label in order
            if np.isfinite(scores[label])
        ],
        row["curves"],
    )
