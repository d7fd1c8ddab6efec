"""What a set comes to: which labels are confused, and how far probabilities can be trusted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffclf_lightning.metrics import Interval, clopper_pearson
from diffclf_lightning.metrics.report import BINS
from diffclf_lightning.report.contents import SetContents
from diffclf_lightning.report.names import Names

FEW = 25
"""With more labels than this, the pairs that are confused most stand for the whole matrix."""
PAIRS = 20


@dataclass(frozen=True)
class Confusion:
    """How often each label was taken for each.

    Args:
        names: Names of the labels that occur.
        counts: Images by true label and answer, int64, shape ``(labels, labels)``.
    """

    names: list[str]
    counts: NDArray[np.int64]

    def shares(self) -> NDArray[np.float64]:
        """Share of the images of each true label, shape ``(labels, labels)``."""
        return np.asarray(self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1))


@dataclass(frozen=True)
class Pair:
    """Two labels, the first taken for the second.

    Args:
        truth: The true label.
        answer: The answer.
        count: Number of images.
        total: Number of images of the true label.
    """

    truth: str
    answer: str
    count: int
    total: int


@dataclass(frozen=True)
class Bin:
    """Images of like confidence.

    Args:
        confidence: Their mean confidence.
        accuracy: Share of them that are right.
        interval: 99.5% Clopper-Pearson interval of that share.
        count: Number of images.
    """

    confidence: float
    accuracy: float
    interval: Interval
    count: int


def confusion(contents: SetContents, names: Names) -> Confusion | None:
    """The confusion matrix of a set, or None where there are too many labels.

    Args:
        contents: The set, with known labels.
        names: Names of labels.
    """
    label, prediction = (contents[n].astype(np.int64) for n in ("label", "prediction"))
    occurring, places = np.unique(np.concatenate([label, prediction]), return_inverse=True)
    if len(occurring) > FEW:
        return None
    size = len(occurring)
    flat = places[: len(label)] * size + places[len(label) :]
    counts = np.bincount(flat, minlength=size**2).reshape(size, size)
    return Confusion([names[each] for each in occurring], counts)


def confused_pairs(contents: SetContents, names: Names, most: int = PAIRS) -> list[Pair]:
    """Pairs of labels by how often the first was taken for the second, the most frequent first.

    Args:
        contents: The set, with known labels.
        names: Names of labels.
        most: Number of pairs, at most.
    """
    label, prediction = (contents[n].astype(np.int64) for n in ("label", "prediction"))
    wrong = label != prediction
    pairs, counts = np.unique(
        np.stack([label[wrong], prediction[wrong]]), axis=1, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")[:most]
    return [
        Pair(names[truth], names[answer], int(counts[place]), int((label == truth).sum()))
        for place, (truth, answer) in zip(order, pairs.T[order], strict=True)
    ]


def reliability(contents: SetContents, bins: int = BINS) -> list[Bin]:
    """Accuracy of images of like confidence, in bins of equal width that are not empty.

    Args:
        contents: The set, with known labels.
        bins: Number of bins between 0 and 1.
    """
    confidence, right = contents["confidence"].clip(0, 1), contents.right
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    found = []
    for each in np.unique(place):
        inside = place == each
        total, correct = int(inside.sum()), int(right[inside].sum())
        found.append(
            Bin(
                float(confidence[inside].mean()),
                correct / total,
                clopper_pearson(correct, total),
                total,
            )
        )
    return found
