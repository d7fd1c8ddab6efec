"""Matching of images and captions: text, image and group scores (Thrush et al. 2022)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffclf_lightning.metrics.accuracy import Accuracy
from diffclf_lightning.metrics.intervals import Interval
from diffclf_lightning.metrics.report import Report, share_of, stored_report

KINDS = ("text", "image", "group")
ALL = "all"
"""What the examples of all tags are called among tags."""
Counts = Mapping[str, Mapping[str, Accuracy]]
"""Right examples by tag, and by kind of score: ``text``, ``image`` and ``group``."""


@dataclass(frozen=True)
class Matched:
    """Whether an example is right; None where it has nothing to compare.

    Args:
        text: Whether every image has the strictly lowest error under its own caption.
        image: Whether every caption has the strictly lowest error for its own image.
        group: Whether both hold.
    """

    text: bool | None
    image: bool | None
    group: bool | None

    @classmethod
    def of(cls, errors: NDArray[np.floating[Any]]) -> "Matched":
        """The scores of an example (Thrush et al. 2022, equations 1 to 3).

        Image ``i`` belongs to caption ``i``; where there are more of one kind, the further ones
        belong to nothing. A tie is wrong.

        Args:
            errors: Error of each image under each caption, lower is better, shape
                ``(images, captions)``.

        Example:
            >>> Matched.of(np.array([[1.0, 2.0], [1.0, 0.5]]))
            Matched(text=True, image=False, group=False)
        """
        images, captions = errors.shape
        own, pairs = errors.diagonal(), min(errors.shape)
        itself = np.eye(images, captions, dtype=bool)
        text = bool(((errors[:pairs] > own[:, None]) | itself[:pairs]).all())
        image = bool(((errors[:, :pairs] > own) | itself[:, :pairs]).all())
        return cls(
            text=text if captions > 1 else None,
            image=image if images > 1 else None,
            group=text and image if captions > 1 and images > 1 else None,
        )


def matching_counts(matched: Sequence[Matched], tags: Sequence[str]) -> Counts:
    """Count the right examples, of each tag and of all.

    Args:
        matched: The examples.
        tags: Tag of each; empty for none.

    Returns:
        Counts by tag, those of all first; each kind of score of the examples that have it.
    """
    groups: dict[str, list[Matched]] = {ALL: list(matched)}
    for tag, one in sorted(zip(tags, matched, strict=True), key=lambda pair: pair[0]):
        if tag:
            groups.setdefault(tag, []).append(one)
    counts: dict[str, dict[str, Accuracy]] = {tag: {} for tag in groups}
    for tag, some in groups.items():
        for kind in KINDS:
            right = [getattr(m, kind) for m in some if getattr(m, kind) is not None]
            if right:
                counts[tag][kind] = Accuracy.of(sum(right), len(right))
    return counts


def chances(shapes: Collection[tuple[int, ...]]) -> dict[str, float]:
    """What a model scores by chance, whose errors are independent of what is shown and said.

    Args:
        shapes: Numbers of images and of captions of the examples.

    Returns:
        Shares by kind of score; none where examples differ in shape.

    Example:
        >>> chances({(1, 4)}), chances({(2, 2)})["text"]
        ({'text': 0.25}, 0.25)
    """
    if len(shapes) != 1:
        return {}
    (images, captions), pairs = next(iter(shapes)), min(next(iter(shapes)))
    known = {"text": captions**-pairs, "image": images**-pairs, "group": 1 / 6}
    several = {"text": captions > 1, "image": images > 1, "group": images == captions == 2}
    return {kind: float(known[kind]) for kind in KINDS if several[kind]}


@dataclass(frozen=True)
class MatchingReport(Report):
    """What was measured on a set of images and captions; shares are fractions, times in seconds."""

    scores: Mapping[str, Counts]
    """By name of the score; the one that decides first."""
    total: int
    chance: Mapping[str, float]
    """By kind of score; empty where examples differ in their numbers of images or captions."""
    evaluations: int
    evaluations_per_example: float
    seconds_per_example: float
    evaluations_per_second: float
    """Of one device, while it evaluates."""
    underfilled_share: float | None = None
    padded_share: float | None = None
    """Share of the rows of forward passes that only fill them up; None where not counted."""
    skipped: int = 0

    @classmethod
    def from_summary(cls, content: Mapping[str, Any]) -> "MatchingReport":
        """The report that :meth:`summary` stored.

        Args:
            content: Plain values; others of :meth:`summary`'s are passed over.

        Raises:
            InputError: If a value is wanting or impossible.
        """
        named = {one.name: content[one.name] for one in fields(cls) if one.name in content}
        with stored_report():
            scores = {
                name: {
                    tag: {k: Accuracy.of(one["correct"], one["total"]) for k, one in kinds.items()}
                    for tag, kinds in counts.items()
                }
                for name, counts in content["scores"].items()
            }
            return cls(**{**named, "scores": scores})

    @property
    def counts(self) -> Counts:
        """Those of the score that decides."""
        return next(iter(self.scores.values()))

    def scalars(self) -> dict[str, float]:
        values = {
            f"{kind}_score{_beside(tag)}{_beside(name, place)}": count.value
            for place, (name, counts) in enumerate(self.scores.items())
            for tag, kinds in counts.items()
            for kind, count in kinds.items()
        }
        measured = {name: v for name, v in self._measured().items() if v is not None}
        return {**values, **measured}

    def summary(self) -> dict[str, Any]:
        return {
            "scores": {
                name: {
                    tag: {k: _stored(one) for k, one in kinds.items()} for tag, kinds in c.items()
                }
                for name, c in self.scores.items()
            },
            "total": self.total,
            "chance": dict(self.chance),
            "evaluations": self.evaluations,
            "skipped": self.skipped,
            **self._measured(),
        }

    def _measured(self) -> dict[str, float | None]:
        return {
            "evaluations_per_example": self.evaluations_per_example,
            "seconds_per_example": self.seconds_per_example,
            "evaluations_per_second": self.evaluations_per_second,
            "underfilled_share": self.underfilled_share,
            "padded_share": self.padded_share,
        }

    @property
    def headline(self) -> str:
        every = self.counts[ALL].items()
        shares = ", ".join(f"{kind} {100 * count.value:.1f}%" for kind, count in every)
        return f"{shares}, of {self.total} examples"

    def cells(self) -> list[dict[str, str]]:
        rows = [{"": tag, **_counted(kinds)} for tag, kinds in self.counts.items()]
        others = list(self.scores.items())[1:]
        rows += [{"": name, **_counted(counts[ALL])} for name, counts in others]
        costs = {
            "evals\neach": f"{self.evaluations_per_example:.0f}",
            "sec.\neach": f"{self.seconds_per_example:.2g}",
        }
        return [{**rows[0], **costs}, *rows[1:]]

    @property
    def notes(self) -> list[str]:
        notes = ["interval: 99.5% Clopper-Pearson; a tie is wrong"]
        if self.chance:
            by_kind = (f"{kind} {100 * share:.1f}" for kind, share in self.chance.items())
            notes.append(f"chance: {', '.join(by_kind)}")
        if len(self.scores) > 1:
            decides, *others = self.scores
            notes.append(f"by {decides}, and all examples by {', '.join(others)}")
        return notes


def matching_report(
    errors: Mapping[str, Sequence[NDArray[np.floating[Any]]]],
    tags: Sequence[str],
    evaluations: NDArray[np.int64],
    seconds: NDArray[np.float64],
    underfilled: NDArray[np.float64],
    repeats: NDArray[np.float64],
    skipped: int = 0,
) -> MatchingReport:
    """Everything that is measured on images and captions.

    Args:
        errors: By name of the score, the one that decides first, errors of each example, each of
            shape ``(images, captions)``.
        tags: Tag of each example; empty for none.
        evaluations: Model evaluations of each, shape ``(examples,)``.
        seconds: Time of each, likewise.
        underfilled: Evaluations in forward passes less than half full, NaN where not counted.
        repeats: Rows that filled passes up, likewise.
        skipped: Number of examples that could not be read.

    Returns:
        The report.
    """
    spent, worked, total = int(evaluations.sum()), float(seconds.sum()), len(tags)
    shapes = {one.shape for one in next(iter(errors.values()))}
    return MatchingReport(
        scores={
            name: matching_counts([Matched.of(one) for one in every], tags)
            for name, every in errors.items()
        },
        total=total,
        chance=chances(shapes),
        evaluations=spent,
        evaluations_per_example=spent / total,
        seconds_per_example=worked / total,
        evaluations_per_second=spent / worked if worked else 0.0,
        underfilled_share=share_of(underfilled, evaluations),
        padded_share=share_of(repeats, evaluations + repeats),
        skipped=skipped,
    )


def _beside(name: str, place: int = 1) -> str:
    return "" if name == ALL or not place else f"_{name}"


def _stored(count: Accuracy) -> dict[str, Any]:
    interval = count.interval or Interval(0.0, 1.0)
    return {
        "correct": count.correct,
        "total": count.total,
        "score": count.value,
        "interval": [interval.lower, interval.upper],
    }


def _counted(kinds: Mapping[str, Accuracy]) -> dict[str, str]:
    cells = {}
    for kind, count in kinds.items():
        ends = count.interval or Interval(0.0, 1.0)
        interval = f"({100 * ends.lower:.0f}-{100 * ends.upper:.0f})"
        cells[f"{kind} %\n(interval)"] = f"{100 * count.value:.1f} {interval}"
    return {**cells, "\nn": str(max(count.total or 0 for count in kinds.values()))}
