"""Shortlist by a discriminative model: one pass of a network ranks all classes."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from diffclf_lightning.baselines import DiscriminativeClassifier, load_baseline
from diffclf_lightning.errors import InputError
from diffclf_lightning.shortlists.base import Choice, Shortlist
from diffclf_lightning.shortlists.images import as_seen_by


class DiscriminativeShortlist(Shortlist):
    """The classes to which a network that gives logits gives the largest.

    As in Appendix B of Li et al. (ICCV 2023). The network's classes are matched with those of the
    data as its own tests match them, by name. It sees the pixels that the diffusion model sees,
    brought to its size by its own preprocessing: resized (antialiased), cropped, grey or RGB.
    All prompts of a class have the score of the class, so that ``keep`` wants to be a multiple of
    their number. It takes no evaluations of the diffusion model.

    Args:
        classifier: The network: a :class:`TimmClassifier` or :class:`TorchvisionClassifier`, or
            the checkpoint of one that ``diffclf fit`` wrote.
        keep: Candidates of each image that are kept. Defaults to None: as many as ``calibration``
            says, or else all.
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote.

    Raises:
        InputError: If an argument is out of range, or the calibration is of another shortlist.
    """

    _classes: list[int]
    """Class of the network by candidate."""

    def __init__(
        self,
        classifier: DiscriminativeClassifier | str | Path,
        keep: int | None = None,
        calibration: str | Path | None = None,
    ) -> None:
        if isinstance(classifier, str | Path):
            classifier = load_baseline(classifier, "classifier")
        if not isinstance(classifier, DiscriminativeClassifier):
            raise InputError(
                "Expected argument `classifier` of DiscriminativeShortlist to be a baseline, as "
                f"TimmClassifier and TorchvisionClassifier are, but got {type(classifier).__name__}"
                ". Wrap a network of your own in DiscriminativeClassifier."
            )
        self.classifier = classifier
        super().__init__(keep, calibration)

    @property
    def arguments(self) -> Mapping[str, Any]:
        return self.classifier.describe_network()

    def bind(self, choice: Choice) -> Self:
        bound = super().bind(choice)
        self.classifier.to(choice.device).eval()
        known = self.classifier.candidates_of(choice.candidates.classnames)
        bound._classes = [int(i) for i in known.of_labels(choice.candidates.own_labels)]  # type: ignore[arg-type]
        if self.classifier.untrained:
            warnings.warn(
                f"The weights of {self.classifier.name}, which makes the shortlist, are random: "
                "nothing was loaded. Give `checkpoint_path`, pretrained=True, or a checkpoint that "
                "`diffclf fit` wrote as `classifier`.",
                stacklevel=2,
            )
        return bound

    def evaluations(self, num_candidates: int) -> int:
        return 0

    @torch.no_grad()
    def scores(
        self, images: Tensor, x_0: Tensor, allowed: Tensor, evaluations_per_batch: int
    ) -> tuple[Tensor, Tensor]:
        classifier = self.classifier
        seen = as_seen_by(classifier.transform, classifier.image_shape, images)
        logits = classifier(seen.to(x_0.device)).float()[:, self._classes]
        return -logits, torch.zeros(len(images), dtype=torch.int64, device=x_0.device)
