"""Matching: which caption belongs to which image?"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from diffclf_lightning.answers import Answer, Batch
from diffclf_lightning.candidates import Candidates
from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import ALL, KINDS, Matched, MatchingReport, matching_report
from diffclf_lightning.tasks.base import COSTS, Question, Task

DECISIVE = "score"
"""Column of the name of the score that decides."""


class Matching(Task):
    """Which of some captions belongs to which of some images (Thrush et al. 2022, Winoground)?

    Samples have ``images``, of shape ``(images, channels, height, width)``, ``captions``, a list of
    them, and a ``tag``. Image ``i`` belongs to caption ``i``; further ones belong to nothing. Every
    image meets every caption of its example, all on the same trials, and the mean errors make the
    text, image and group score by strict comparisons: text, if every image has the lowest error
    under its own caption; image, if every caption has it for its own image; group, if both.

    Raw errors are lower for images that are likelier whatever the caption. The score
    ``RelativeToReference`` takes off the error under the empty caption, and is reported beside the
    raw one of the same forward passes.
    """

    schema: ClassVar[pa.Schema] = pa.schema(
        {
            "tag": pa.string(),
            "captions": pa.list_(pa.string()),
            "num_images": pa.int64(),
            "score": pa.string(),
            "scores": pa.map_(pa.string(), pa.list_(pa.float64())),
            "counts": pa.list_(pa.int32()),
            "text": pa.bool_(),
            "image": pa.bool_(),
            "group": pa.bool_(),
        }
    )
    measured: ClassVar[Sequence[str]] = ("tag", "num_images", DECISIVE, "scores")
    brings_candidates: ClassVar[bool] = True
    compares_images: ClassVar[bool] = True

    def questions(self, dataset: Any) -> Iterator[tuple[int, Candidates]]:
        for one in getattr(dataset, "examples", ()):
            yield len(one.images), _candidates([one.captions])

    def of_set(self, dataset: Any, set_name: str) -> Self:
        for example in getattr(dataset, "examples", ()):
            self._check_example(example.tag, example.captions, set_name)
        return self

    def _check_example(self, tag: str, captions: Sequence[str], set_name: str) -> None:
        if tag == ALL:
            raise InputError(
                f"Expected tags of set {set_name!r} other than {ALL!r}, which the examples of all "
                "tags are called. Rename it."
            )
        if len(set(captions)) < len(captions):
            raise InputError(
                f"Expected captions that differ in every example of set {set_name!r}, but one has "
                f"{list(captions)}."
            )

    def check(self, batch: Batch, set_name: str, needs: Sequence[str] = ()) -> None:
        images: Any = batch.get("images")
        captions: Any = batch.get("captions")
        if not _listed(images, Tensor) or not _listed(captions, Sequence):
            kinds = ", ".join(f"{name}: {type(value).__name__}" for name, value in batch.items())
            raise InputError(
                "Expected batches with `images`, a tensor of each example's images, and "
                f"`captions`, a list of each example's captions, but got {kinds or 'nothing'}. "
                "Give the loader `collate_fn=collate_examples` "
                "(diffclf_lightning.datamodules.matching)."
            )
        tags = batch.get("tag") or [""] * len(captions)
        for tag, some, words in zip(tags, images, captions, strict=True):
            texts = not isinstance(words, str) and all(isinstance(word, str) for word in words)
            if some.ndim != 4 or not len(some) or not words or not texts:
                raise InputError(
                    f"Expected examples of set {set_name!r} with images of shape (images, "
                    "channels, height, width) and captions that are text, but got images of shape "
                    f"{tuple(some.shape)} and captions {words!r}."
                )
            if len(some) * len(words) < 2:
                raise InputError(
                    f"Expected examples of set {set_name!r} with several images or captions, but "
                    f"got one image and the caption {words[0]!r}, which leaves nothing to compare."
                )
            self._check_example(tag, words, set_name)

    def question(self, batch: Batch) -> Question:
        return Question(
            torch.cat([*batch["images"]]), _candidates(batch["captions"]), _blocks(batch)
        )

    def truth(self, batch: Batch, row: int) -> str:
        tag = batch["tag"][row] if "tag" in batch else ""
        return json.dumps([*batch["captions"][row], *([{"tag": tag}] if tag else [])])

    def columns(self, answer: Answer, batch: Batch) -> dict[str, Any]:
        means = answer.means or answer.scores
        decisive = next(iter(means))
        cut = {name: _cut(values, _blocks(batch)) for name, values in means.items()}
        matched = [Matched.of(one.numpy()) for one in cut[decisive]]
        counts = _cut(answer.counts, _blocks(batch))
        return {
            "tag": list(batch.get("tag", [None] * len(matched))),
            "captions": [list(captions) for captions in batch["captions"]],
            "num_images": [len(images) for images in batch["images"]],
            "score": [decisive] * len(matched),
            "scores": {
                name: [one.double().flatten().tolist() for one in every]
                for name, every in cut.items()
            },
            "counts": [one.int().flatten().tolist() for one in counts],
            **{kind: [getattr(one, kind) for one in matched] for kind in KINDS},
        }

    def right(self, columns: dict[str, Any]) -> Tensor | None:
        """By the text score, which is the published one, or the image score of one caption."""
        kinds = zip(columns["text"], columns["image"], strict=True)
        return torch.tensor([image if text is None else text for text, image in kinds])

    def report(self, rows: pa.Table, skipped: int) -> MatchingReport | None:
        if not len(rows):
            return None
        errors: dict[str, list[Any]] = {rows[DECISIVE][0].as_py(): []}
        for images, scores in zip(
            rows["num_images"].to_pylist(), rows["scores"].to_pylist(), strict=True
        ):
            for name, values in scores:
                errors.setdefault(name, []).append(np.array(values).reshape(images, -1))
        return matching_report(
            errors,
            [tag or "" for tag in rows["tag"].to_pylist()],
            **{name: rows[name].to_numpy() for name in COSTS},
            skipped=skipped,
        )


def _listed(values: Any, kind: type) -> bool:
    if isinstance(values, Tensor):
        return kind is Tensor and values.ndim == 5
    several = isinstance(values, Sequence) and not isinstance(values, str)
    return several and all(isinstance(value, kind) for value in values)


def _blocks(batch: Batch) -> list[tuple[int, int]]:
    pairs = zip(batch["images"], batch["captions"], strict=True)
    return [(len(images), len(captions)) for images, captions in pairs]


def _candidates(captions: Sequence[Sequence[str]]) -> Candidates:
    every = [caption for some in captions for caption in some]
    return Candidates(every, range(len(every)))


def _cut(values: Tensor, blocks: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The part of each example of values of all images and captions."""
    found, row, column = [], 0, 0
    for images, captions in blocks:
        found.append(values[row : row + images, column : column + captions])
        row, column = row + images, column + captions
    return found
