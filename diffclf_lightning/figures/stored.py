"""Errors of all candidates at all trials, of one run or of several that differ in their noise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import MeanError, Score
from diffclf_lightning.results import RunFolder, candidates_of, stored_errors, timesteps_of

MOST_AT_ONCE = 2**24
"""Values of a block of images, to bound the memory that it takes."""
BESIDE = ("command", "noise", "seed", "temperature", "calibrated", "precision", "errors")
BESIDE_IN_RUNS = (*BESIDE, "machines", "other_losses", "losses", "candidate_labels")
"""In what runs of one pool may differ."""


@dataclass(frozen=True)
class ImageErrors:
    """What a score makes of the errors of one image.

    Args:
        key: Name of the image.
        label: Its true label.
        values: Contributions to the score, shape ``(candidates, trials)``.
    """

    key: str
    label: int
    values: Tensor


@dataclass(frozen=True)
class Block:
    """Some images.

    Args:
        truth: True labels, int64, shape ``(images,)``.
        values: Contributions to the score, shape ``(images, candidates, trials)``.
    """

    truth: Tensor
    values: Tensor


class Pool:
    """The trials of a set: those of one run, or those of all runs behind each other.

    Args:
        runs: Folders of runs with stored errors of all candidates at all trials. Several are of
            the same model, images and candidates, with other noise (``--model.seed``).
        score: What decides. Defaults to None: the run's own, if that is the mean of a loss.
        set_name: Name of the set. Defaults to None: the first of the run.

    Raises:
        InputError: If a run does not hold them, or the runs do not belong together.
    """

    def __init__(
        self, runs: Sequence[RunFolder], score: Score | None = None, set_name: str | None = None
    ) -> None:
        self.runs = list(runs)
        for run in runs:
            next(stored_errors(run))  # or there are none
        first = runs[0]
        self.score = score or _own_score(first)
        self.set_name = _named_set(first, set_name)
        _check_together(runs, self.set_name)
        candidates = candidates_of(first, self.set_name)
        self.labels = torch.tensor(candidates.labels)
        self.score = self.score.bind(candidates.names)
        if len(self.labels.unique()) < 2:
            raise InputError(
                f"Expected at least two labels to choose among in {self.set_name!r}, but got one. "
                "Name another set: --set."
            )
        times = [[float(Fraction(t)) for t in run.description()["trials"]["time"]] for run in runs]
        self.times: NDArray[np.float64] = np.concatenate(times)
        for run in runs:
            self.score.check(timesteps_of(run.description()))

    @property
    def trials(self) -> int:
        """Number of trials of each candidate."""
        return len(self.times)

    @property
    def num_images(self) -> int:
        """Number of images of the set."""
        names = (rows["set"] for rows in self.runs[0].batches([]))
        return sum(pc.sum(pc.equal(name, self.set_name)).as_py() or 0 for name in names)

    @property
    def classnames(self) -> Mapping[int, str]:
        """Names of labels, as far as they are known."""
        return dict(enumerate(self.runs[0].description().get("classnames") or []))

    def images(self) -> Iterator[ImageErrors]:
        """All images of the set, in the order in which they are stored.

        Raises:
            InputError: If candidates were dropped, or the runs are not of the same images.
        """
        for several in zip_longest(*(self._of_run(run) for run in self.runs)):
            said = [_said(one) for one in several]
            for run, other in zip(self.runs, said, strict=True):
                if other != said[0]:
                    (key, _), (own, _) = said[0], other
                    raise InputError(
                        "Expected the runs to hold the same images in the same order, but where "
                        f"{str(self.runs[0].path)!r} has {key}, {str(run.path)!r} has {own}"
                        f"{' with other pixels' * (own == key)}. Run them on the same images and "
                        "one device."
                    )
            first = several[0][1]
            yield ImageErrors(
                first.key, first.label, torch.cat([image.values for _, image in several], dim=1)
            )

    def blocks(self, columns: int = 0) -> Iterator[Block]:
        """All images of the set, a bounded number at once.

        Args:
            columns: Numbers that will be made of each candidate, if more than there are trials.
        """
        size = max(1, MOST_AT_ONCE // (len(self.labels) * max(self.trials, columns)))
        held: list[ImageErrors] = []
        for image in self.images():
            held.append(image)
            if len(held) == size:
                yield _block(held)
                held = []
        if held:
            yield _block(held)

    def right(self, scores: Tensor, truth: Tensor) -> Tensor:
        """Which answers are right.

        Args:
            scores: Lower is better, shape ``(images, candidates, ...)``.
            truth: True labels, shape ``(images,)``.

        Returns:
            Bool, shape ``(images, ...)``.
        """
        answers = self.labels[scores.argmin(dim=1)]
        return answers == truth.reshape(-1, *[1] * (answers.ndim - 1))

    def _of_run(self, run: RunFolder) -> Iterator[tuple[str, ImageErrors]]:
        """Digest and errors of each image of a run."""
        trials = len(run.description()["trials"]["time"])
        for name, rows, table in stored_errors(run):
            if name != self.set_name:
                continue
            if int(table.counts.amin()) < trials:
                raise InputError(
                    f"Expected {str(run.path)!r} to hold the errors of all candidates at all "
                    f"{trials} trials, but some were dropped. Run it with --model.strategy Full "
                    f"--model.strategy.trials {trials} --results.errors true."
                )
            values = table.scored(self.score).dense()
            keys, digests = rows["key"].to_pylist(), rows["digest"].to_pylist()
            labels = rows["label"].to_pylist()
            for key, digest, label, own in zip(keys, digests, labels, values, strict=True):
                yield digest, ImageErrors(key, label, own)


def _said(found: tuple[str, ImageErrors] | None) -> tuple[str, str]:
    """Key and digest of an image of a run, or that the run has no more."""
    if found is None:
        return "no further image", ""
    digest, image = found
    return repr(image.key), digest


def _block(images: Sequence[ImageErrors]) -> Block:
    truth = torch.tensor([image.label for image in images])
    return Block(truth, torch.stack([image.values for image in images]))


def _own_score(run: RunFolder) -> Score:
    description = run.description()
    own = MeanError(description["scores"][0])
    if description.get("score", repr(own)) != repr(own):
        raise InputError(
            f"Expected argument --score, since {str(run.path)!r} was decided by "
            f"{own.name!r}, which is no mean of a loss, but got none. Give one, for "
            f"instance --score MeanError --score.loss {description['losses'][0]}."
        )
    return own


def _named_set(run: RunFolder, name: str | None) -> str:
    sets = list(run.description()["candidate_labels"])
    if name is None:
        return str(sets[0])
    if name not in sets:
        raise InputError(
            f"Expected --set to be one of the sets of {str(run.path)!r} ({', '.join(sets)}), but "
            f"got {name!r}."
        )
    return name


def _check_together(runs: Sequence[RunFolder], set_name: str) -> None:
    first = runs[0].description()
    noises: list[Any] = []
    for run in runs:
        own = run.description()
        for key in dict.fromkeys((*first, *own)):
            if key not in (*BESIDE_IN_RUNS, "trials") and own.get(key) != first.get(key):
                raise InputError(
                    "Expected runs that differ in their noise alone, but the "
                    f"{key} of {str(run.path)!r} is another than that of {str(runs[0].path)!r}. "
                    "Name runs of one configuration with other --model.seed."
                )
        if own["candidate_labels"].get(set_name, 0) != first["candidate_labels"][set_name]:
            raise InputError(
                f"Expected {str(run.path)!r} to hold the set {set_name!r} with the candidates of "
                f"{str(runs[0].path)!r}, but it does not. Name runs of the same sets."
            )
        noises.append((own.get("noise"), own["trials"]["time"]))
    if any(noise in noises[:place] for place, noise in enumerate(noises)):
        raise InputError(
            "Expected runs of different noise, but two of them have the same trials. Give each "
            "another --model.seed."
        )
