"""Sets of examples of images and captions, for the task :class:`Matching`."""

import io
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image as PILImage
from PIL.Image import Image
from torch.utils.data import DataLoader, default_collate

from diffclf_lightning.datamodules.base import ImageDataModule, ImageSet, OnCorrupt
from diffclf_lightning.datamodules.sets import as_stored, missing_files
from diffclf_lightning.errors import InputError
from diffclf_lightning.images import UNREADABLE, open_image


@dataclass(frozen=True)
class Example:
    """Some images and some captions, of which the i-th belong together.

    Args:
        images: A file, the bytes of one, or a PIL image each.
        captions: The captions.
        tag: What kind of example it is; empty for none.
        key: A name that is the same in every run.
    """

    images: Sequence[Path | bytes | Image]
    captions: Sequence[str]
    tag: str = ""
    key: str = ""


class ExampleSet(ImageSet):
    """A set of examples, whose samples have ``images``, ``captions``, ``tag`` and ``key``.

    Args:
        examples: The examples, each with a key of its own.
        published: Whether files are read as published evaluations do, in RGB and not turned, or as
            a viewer shows them.
    """

    def __init__(self, examples: Sequence[Example], published: bool = True) -> None:
        super().__init__(None, keys=[example.key for example in examples])
        self.examples, self.published = list(examples), published

    def image(self, index: int) -> Image:
        """The first image of an example."""
        return self._opened(self.examples[index].images[0])

    def location(self, index: int) -> str:
        files = [str(one) for one in self.examples[index].images if isinstance(one, Path)]
        return " or ".join(files) or f"example {self.keys[index]}"

    def _opened(self, source: Path | bytes | Image) -> Image:
        if isinstance(source, Image):
            return source
        if not self.published and isinstance(source, Path):
            return open_image(source).convert("RGB")
        with PILImage.open(io.BytesIO(source) if isinstance(source, bytes) else source) as stored:
            return as_stored(stored.convert("RGB"))

    def __getitem__(self, index: int) -> Any:
        """The sample at a position of the set.

        Raises:
            InputError: If an image cannot be read and ``on_corrupt`` is ``"stop"``.
        """
        example, readable = self.examples[index], True
        try:
            pictures = [self._opened(source) for source in example.images]
        except UNREADABLE as error:
            self._report(index, error)
            pictures, readable = [PILImage.new("RGB", (512, 512))] * len(example.images), False
        images: Any = pictures
        if self.transform is not None:
            images = default_collate([self.transform(picture) for picture in pictures])
        return {
            "images": images,
            "captions": list(example.captions),
            "tag": example.tag,
            "key": example.key,
            "readable": readable,
        }


def collate_examples(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch of examples: lists by name, since examples may differ in their numbers of images.

    Args:
        samples: As :class:`ExampleSet` gives them.

    Returns:
        ``images``, ``captions``, ``tag`` and ``key`` as lists; ``readable`` as a bool tensor.
    """
    batch: dict[str, Any] = {name: [one[name] for one in samples] for name in samples[0]}
    if "readable" in batch:
        batch["readable"] = torch.tensor(batch["readable"])
    return batch


class MatchingSets(ImageDataModule):
    """Base of the data modules of examples; a subclass gives :meth:`find`.

    Args:
        batch_size: Examples in a batch. Defaults to 16.
        num_workers: See :class:`ImageDataModule`. Defaults to 0.
        on_corrupt: See :class:`ImageDataModule`; an example with an image that cannot be read is
            left out as a whole. Defaults to ``"stop"``.
    """

    asks: ClassVar[str] = "matching"
    """The task that classifiers take for this data."""
    classnames = None  # type: ignore[assignment]

    def __init__(
        self, batch_size: int = 16, num_workers: int = 0, on_corrupt: OnCorrupt = "stop"
    ) -> None:
        super().__init__(batch_size, num_workers, on_corrupt)
        self._sets: dict[str, ExampleSet] = {}

    @abstractmethod
    def find(self) -> dict[str, ExampleSet]:
        """The sets by name, no image decoded.

        Raises:
            InputError: If the data is not there, or not what it has to be.
        """

    def setup(self, stage: str = "test") -> None:
        """Find the sets, once, and check that their files are there.

        Raises:
            InputError: If one is missing, or two examples have one key.
        """
        if self._sets:
            return
        found = self.find()
        for name, examples in found.items():
            check_examples(examples, name)
        self._sets = found

    def test_sets(self) -> dict[str, ExampleSet]:  # type: ignore[override]
        """The sets by name."""
        if not self._sets:
            self.prepare_data()
            self.setup()
        return dict(self._sets)

    def loader(self, images: ImageSet, **kwargs: Any) -> DataLoader[Any]:
        """A loader of a set, in the module's transform; see :func:`collate_examples`."""
        return super().loader(images, **{"collate_fn": collate_examples, **kwargs})


def check_examples(examples: ExampleSet, name: str) -> None:
    """Refuse a set without examples, with keys twice, or with files that are not there.

    Args:
        examples: The set.
        name: Its name.

    Raises:
        InputError: If it is such.
    """
    if not len(examples):
        raise InputError(f"Expected examples in set {name!r}, but got none. Check its folder.")
    seen: set[str] = set()
    for key in examples.keys:
        if key in seen:
            raise InputError(
                f"Expected a key of its own for every example of set {name!r}, but got {key!r} "
                "twice. Give each line another `key`."
            )
        seen.add(key)
    files = [one for e in examples.examples for one in e.images if isinstance(one, Path)]
    missing = missing_files(files)
    if missing:
        raise InputError(
            f"Expected {len(files)} images of set {name!r}, but {len(missing)} of them are "
            f"missing, the first being {files[missing[0]]}. Complete the folder, or correct the "
            "paths."
        )
