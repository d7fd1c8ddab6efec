"""Classification: one label an image."""

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from diffclf_lightning.answers import Answer, Batch
from diffclf_lightning.candidates import merged_labels
from diffclf_lightning.classnames import nearest
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import best_candidates, log_posterior, per_label
from diffclf_lightning.metrics import (
    ClassificationReport,
    classification_report,
    fit_temperature,
    shortlist_recall,
)
from diffclf_lightning.tasks.base import COSTS, Asked, Question, Task

APART = ("other_predictions", "shortlist_rank", "shortlisted")
"""Measured columns that are not numbers of every row."""

RAREST = 1e-30
"""Least prior beside the largest one: of smaller ones float32 makes 0."""


class Classification(Task):
    """Which label does an image have?

    Samples have an ``image`` and, but for prediction, a ``label``. A label's score is the lowest
    of its candidates; its probability follows from all scores, the temperature and the priors
    (Eq. 8), and the likeliest label is the answer.

    Args:
        class_priors: How often each class is met, above 0, by its name or in the order of labels;
            their sum does not matter. Defaults to None: all alike. They ask for a fitted
            temperature, without which they decide alone.
    """

    schema: ClassVar[pa.Schema] = pa.schema(
        {
            "label": pa.int64(),
            "label_name": pa.string(),
            "prediction": pa.int64(),
            "prediction_name": pa.string(),
            "scores": pa.list_(pa.float32()),
            "standard_errors": pa.list_(pa.float32()),
            "counts": pa.list_(pa.int32()),
            "probabilities": pa.list_(pa.float32()),
            "confidence": pa.float64(),
            "rank": pa.int64(),
            "negative_log_likelihood": pa.float64(),
            "other_predictions": pa.map_(pa.string(), pa.int64()),
            "other_scores": pa.map_(pa.string(), pa.list_(pa.float32())),
            "shortlist_scores": pa.list_(pa.float32()),
            "shortlist_rank": pa.int64(),
            "shortlisted": pa.bool_(),
        }
    )
    measured: ClassVar[Sequence[str]] = (
        "label",
        "prediction",
        "confidence",
        "rank",
        "negative_log_likelihood",
        "other_predictions",
        "shortlist_rank",
        "shortlisted",
    )
    fitted: ClassVar[Sequence[str]] = ("label", "scores")

    def __init__(self, class_priors: Mapping[str, float] | Sequence[float] | None = None) -> None:
        self.class_priors = class_priors
        self.labels: Collection[int] = ()
        self.num_labels, self.prior = 0, torch.zeros(0)
        self.asked: Asked

    def describe(self) -> dict[str, Any]:
        priors = self.class_priors
        plain = dict(priors) if isinstance(priors, Mapping) else priors and list(priors)
        return {**super().describe(), "class_priors": plain}

    def bind(self, asked: Asked) -> Self:
        bound = copy(self)
        bound.asked, bound.labels = asked, frozenset(asked.candidates.labels)
        bound.num_labels = max(asked.candidates.labels) + 1
        bound.prior = bound._prior(asked.classnames)
        return bound

    def _prior(self, classnames: Sequence[str] | None) -> Tensor:
        """Prior of each label."""
        given = self.class_priors
        if given is None:
            return torch.ones(self.num_labels, dtype=torch.float64)
        expected = "Expected argument `class_priors` to have a number above 0 for each of the "
        expected += f"{self.num_labels} classes"
        if isinstance(given, Mapping):
            names = classnames or ()
            for name in given:
                if name not in names:
                    close = ", ".join(nearest(name, names)) or "none"
                    raise InputError(f"{expected}, but got {name!r} (nearest: {close}).")
            given = [given.get(name, float("nan")) for name in names]
        if len(given) != self.num_labels or not all(0 < p < float("inf") for p in given):
            raise InputError(f"{expected}, but got {self.class_priors}. Name every class once.")
        priors = torch.tensor(list(given), dtype=torch.float64)
        priors = priors / priors.max()
        if priors.min() < RAREST:
            raise InputError(
                f"{expected}, none below {RAREST:g} of the largest, but got {self.class_priors}. "
                "Leave out classes that are never met."
            )
        return priors

    def name_of(self, label: int) -> str | None:
        """Name of a label, or None where labels have no names."""
        names = self.asked.classnames
        return None if names is None else names[label]

    def of_set(self, dataset: Any, set_name: str) -> Self:
        if not hasattr(dataset, "candidate_labels"):  # `labels` of others may mean anything
            return self
        restricted = self.restrict(dataset.candidate_labels)
        labels, keys = getattr(dataset, "labels", ()), getattr(dataset, "keys", None)
        restricted.check_labels(labels, set_name, keys if isinstance(keys, Sequence) else None)
        return restricted

    def restrict(self, labels: Sequence[int | Sequence[int]] | None) -> Self:
        """The task for images of some labels only.

        Args:
            labels: The labels; an entry that is a sequence merges its labels into the first. None
                for all.

        Returns:
            A copy.
        """
        restricted = copy(self)
        if labels is not None:
            restricted.labels = frozenset(merged_labels(labels).values())
        return restricted

    def check(self, batch: Batch, set_name: str, needs: Sequence[str] = ()) -> None:
        label = batch.get("label")
        whole = isinstance(label, Tensor) and label.ndim == 1 and _is_integer(label)
        if not isinstance(batch.get("image"), Tensor) or ("label" in needs and not whole):
            kinds = ", ".join(f"{name}: {_kind(value)}" for name, value in batch.items())
            raise InputError(
                "Expected batches of (image, label), or mappings with `image` and `label`, with "
                f"integer labels of shape (batch,), but got {kinds}. Let the data set return an "
                "image tensor and a class number."
            )
        lengths = {name: len(batch[name]) for name in ("image", "label", "key") if name in batch}
        if len(set(lengths.values())) > 1:
            raise InputError(
                f"Expected batches with as many entries of each kind, but got {lengths}. Let the "
                "data set return one of each for every image."
            )
        if isinstance(label, Tensor):
            keys = batch.get("key", [f"number {row} of its batch" for row in range(len(label))])
            self.check_labels(label.tolist(), set_name, list(keys))

    def check_labels(
        self, labels: Sequence[int], set_name: str, names: Sequence[str] | None = None
    ) -> None:
        """Refuse labels without a candidate.

        Args:
            labels: Labels of some images.
            set_name: Name of the set.
            names: What messages call the images. Defaults to None: by their places.

        Raises:
            InputError: If a label has none.
        """
        for place, label in enumerate(labels):
            if int(label) not in self.labels:
                name = f"number {place}" if names is None else names[place]
                whole = len(self.labels) == max(self.labels) + 1
                known = f"0 to {max(self.labels)}" if whole else _few(sorted(self.labels))
                raise InputError(
                    f"Expected the labels of set {set_name!r} to be among the {len(self.labels)} "
                    f"labels of the candidates ({known}), but got {label} for image {name}. Check "
                    "the data's class order, or give `candidates` for its labels. Images without "
                    "a label can be predicted alone."
                )

    def question(self, batch: Batch) -> Question:
        return Question(batch["image"])

    def truth(self, batch: Batch, row: int) -> str:
        return str(int(batch["label"][row])) if "label" in batch else ""

    def columns(self, answer: Answer, batch: Batch) -> dict[str, Any]:
        best = best_candidates(answer.decisive, answer.labels, self.num_labels)
        scores = per_label(answer.decisive, best, torch.inf)
        log_probabilities = self._log_posterior(scores)
        if self.class_priors is None:  # rounding of probabilities must not decide
            prediction = answer.labels[answer.decisive.argmin(dim=1)]
        else:
            prediction = log_probabilities.argmax(dim=1)
        columns: dict[str, Any] = {
            "label": None,
            "label_name": None,
            "prediction": prediction,
            "prediction_name": self._names(prediction),
            "scores": scores,
            "standard_errors": per_label(answer.standard_errors, best, torch.nan),
            "counts": per_label(answer.counts, best, 0).int(),
            "probabilities": log_probabilities.exp().float(),
            "confidence": log_probabilities.amax(dim=1).exp(),
            "rank": None,
            "negative_log_likelihood": None,
            "other_predictions": {
                name: answer.labels[values.argmin(dim=1)] for name, values in answer.others.items()
            },
            "other_scores": {
                name: per_label(
                    values, best_candidates(values, answer.labels, self.num_labels), torch.inf
                )
                for name, values in answer.others.items()
            },
            "shortlist_scores": answer.shortlist and answer.shortlist.scores,
            "shortlist_rank": None,
            "shortlisted": None,
        }
        if "label" in batch:
            label = batch["label"].long().to(scores.device)[:, None]
            columns["label"], columns["label_name"] = label[:, 0], self._names(label[:, 0])
            likelier = log_probabilities > log_probabilities.gather(1, label)
            columns["rank"] = likelier.sum(dim=1)
            columns["negative_log_likelihood"] = -log_probabilities.gather(1, label)[:, 0]
            if answer.shortlist is not None:
                mine = answer.labels == label
                ranks = answer.shortlist.ranks.where(mine, mine.shape[1])
                columns["shortlist_rank"] = ranks.amin(dim=1)
                columns["shortlisted"] = (answer.shortlist.kept & mine).any(dim=1)
        return columns

    def log_probabilities(self, answer: Answer) -> Tensor:
        """Natural logarithms, shape ``(images, labels)``."""
        best = best_candidates(answer.decisive, answer.labels, self.num_labels)
        return self._log_posterior(per_label(answer.decisive, best, torch.inf))

    def _log_posterior(self, scores: Tensor) -> Tensor:
        return log_posterior(scores, self.asked.temperature, self.prior.to(scores))

    def _names(self, labels: Tensor) -> list[str | None]:
        return [self.name_of(int(label)) for label in labels]

    def right(self, columns: dict[str, Any]) -> Tensor | None:
        if columns["label"] is None:
            return None
        right: Tensor = columns["label"] == columns["prediction"]
        return right

    def report(self, rows: pa.Table, skipped: int) -> ClassificationReport | None:
        if not len(rows) or rows["label"].null_count:
            return None
        others: dict[str, list[int]] = {}
        for pairs in rows["other_predictions"].to_pylist():
            for name, label in pairs or ():
                others.setdefault(name, []).append(label)
        named = [name for name in (*self.measured, *COSTS) if name not in APART]
        recall: dict[str, float] = {}
        if not rows["shortlist_rank"].null_count:
            recall = shortlist_recall(
                rows["shortlist_rank"].to_numpy(),
                rows["shortlisted"].to_numpy(zero_copy_only=False),
            )
        return classification_report(
            **{name: rows[name].to_numpy() for name in named},
            shortlisted=recall,
            others={name: np.array(labels) for name, labels in others.items()},
            num_labels=len(self.labels),
            skipped=skipped,
            metric=self.asked.metric,
            calibrated=self.asked.calibrated,
        )

    def fit(self, rows: pa.Table) -> dict[str, float]:
        """The mean score of the true labels, and the temperature that fits best."""
        labels = torch.from_numpy(rows["label"].to_numpy().copy())
        scores = torch.tensor(np.stack(rows["scores"].to_numpy()))
        loss = float(scores.gather(1, labels[:, None]).double().mean())
        if bool((scores.argmin(dim=1) == labels).all()):
            rank_zero_warn(
                "All validation images are classified correctly: the fitted temperature is bounded "
                "by nothing but the search. Validate on more, or on harder images."
            )
        return {"loss": loss, "temperature": fit_temperature(scores, labels)}


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"tensor of {value.dtype} and shape {tuple(value.shape)}"
    return type(value).__name__


def _is_integer(values: Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def _few(labels: Sequence[int], most: int = 10) -> str:
    return f"{', '.join(map(str, labels[:most]))}{', ...' if len(labels) > most else ''}"
