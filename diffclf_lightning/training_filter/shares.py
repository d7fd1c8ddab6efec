"""Shares of sets that pass a training filter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffclf_lightning.datamodules.base import ImageDataModule
from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import clopper_pearson
from diffclf_lightning.ranges import check_number
from diffclf_lightning.training_filter.embedding import Embedder, SizeAndPixels
from diffclf_lightning.training_filter.heads import Head

ALL = "all of these"


@dataclass(frozen=True)
class Filter:
    """What an image has to be to be trained on; by default as for Stable Diffusion 2.0.

    Args:
        min_side: Least length of its short side in pixels.
        min_aesthetic: Least aesthetic score.
        max_unsafe: Highest probability that it is unsafe.
        aesthetic: Head of the aesthetic score. Defaults to None: that is not looked at.
        unsafe: Head whose number, through a sigmoid, is that probability. Defaults to None.

    Raises:
        InputError: If a threshold is out of range.
    """

    min_side: int = 512
    min_aesthetic: float = 4.5
    max_unsafe: float = 0.1
    aesthetic: Head | None = None
    unsafe: Head | None = None

    def __post_init__(self) -> None:
        if self.min_side < 1:
            raise InputError(f"Expected --min-side to be at least 1, but got {self.min_side}.")
        check_number("--min-aesthetic", self.min_aesthetic)
        check_number("--max-unsafe", self.max_unsafe, least=0, most=1)

    @property
    def needs_embedding(self) -> bool:
        """Whether it looks at more than sizes."""
        return self.aesthetic is not None or self.unsafe is not None

    def passes(self, short_side: Tensor, embedding: Tensor | None = None) -> dict[str, Tensor]:
        """Which images pass each condition.

        Args:
            short_side: In pixels, shape ``(images,)``.
            embedding: Of length 1, shape ``(images, dimensions)``. Defaults to None: not needed.

        Returns:
            Bool, shape ``(images,)``, by the text of the condition.

        Raises:
            InputError: If a head takes another number of dimensions.
        """
        passed = {f"short side >= {self.min_side}": short_side >= self.min_side}
        if embedding is not None and self.aesthetic is not None:
            score = _applied(self.aesthetic, embedding, "--aesthetic-head")
            passed[f"aesthetic >= {self.min_aesthetic:g}"] = score >= self.min_aesthetic
        if embedding is not None and self.unsafe is not None:
            share = _applied(self.unsafe, embedding, "--unsafe-head").sigmoid()
            passed[f"unsafe <= {self.max_unsafe:g}"] = share <= self.max_unsafe
        return passed


@dataclass(frozen=True)
class Share:
    """How many images of a set pass.

    Args:
        set: Name of the set.
        condition: What they pass; ``all of these`` for those that are looked at together.
        passed: Number of images that do.
        images: Number of images that could be read.
    """

    set: str
    condition: str
    passed: int
    images: int

    def record(self) -> dict[str, Any]:
        """A row of a CSV file, with the 99.5% Clopper-Pearson interval."""
        interval = clopper_pearson(self.passed, self.images)
        share = self.passed / self.images
        return {**vars(self), "share": share, "lower": interval.lower, "upper": interval.upper}


def shares(
    data: ImageDataModule, conditions: Filter, embedder: Embedder | None = None
) -> list[Share]:
    """Shares of the test sets of a data module that pass each condition, and all of them.

    Sizes are those of the images as they are stored. Images that cannot be read do not count. Of
    examples of images and captions each image counts, in every example that it stands in.

    Args:
        data: The data module.
        conditions: The conditions.
        embedder: Makes the embeddings for the heads. Defaults to None: there are no heads.

    Returns:
        The shares, set by set.

    Raises:
        InputError: If heads are given without an embedder, or a set has no images.
    """
    if conditions.needs_embedding and embedder is None:
        raise InputError("Expected an embedder for the heads of the filter, but got none.")
    data.transform = SizeAndPixels(embedder.transform if embedder is not None else None)  # type: ignore[assignment]
    data.prepare_data()
    data.setup("test")
    found = []
    for name, loader in data.test_dataloader().items():
        counts, images = _counted(loader, conditions, embedder)
        if not images:
            raise InputError(
                f"Expected images in the set {name!r}, but none could be read. Check the data."
            )
        found += [Share(name, text, number, images) for text, number in counts.items()]
    return found


def _counted(
    loader: Iterable[Mapping[str, Any]], conditions: Filter, embedder: Embedder | None
) -> tuple[dict[str, int], int]:
    counts: dict[str, int] = {}
    images = 0
    for batch in loader:
        seen, known = _images(batch)
        embedding = embedder.embed(seen["pixels"]) if embedder is not None else None
        passed = conditions.passes(seen["short_side"], embedding)
        passed[ALL] = torch.stack(list(passed.values())).all(dim=0)
        for text, which in passed.items():
            counts[text] = counts.get(text, 0) + int((which & known).sum())
        images += int(known.sum())
    return counts, images


def _images(batch: Mapping[str, Any]) -> tuple[Mapping[str, Tensor], Tensor]:
    """What is seen of each image of a batch, and which of them could be read."""
    if "image" in batch:
        return batch["image"], batch["readable"]
    examples = batch["images"]
    seen = {name: torch.cat([one[name] for one in examples]) for name in examples[0]}
    numbers = torch.tensor([len(one["short_side"]) for one in examples])
    return seen, batch["readable"].repeat_interleave(numbers)


def _applied(head: Head, embedding: Tensor, argument: str) -> Tensor:
    if head.inputs != embedding.shape[1]:
        raise InputError(
            f"Expected {argument} to take embeddings of the {embedding.shape[1]} dimensions that "
            f"--model makes, but it takes {head.inputs}. Choose the model that it was made for."
        )
    with torch.inference_mode():
        applied: Tensor = head(embedding)
    return applied
