"""What all data modules share: named test sets of ``(image, label)``, in the model's transform.

Data sets give PIL images; the transform that turns them into tensors belongs to the model. The
classifier sets it (:attr:`ImageDataModule.transform`), so that a user never repeats it.
"""

import struct
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from lightning.pytorch import LightningDataModule
from PIL import Image as PILImage
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from diffclf_lightning.errors import InputError

Transform = Callable[[Image], Tensor]
OnCorrupt = Literal["stop", "skip"]

SKIPPED = -1
"""Label of an image that could not be read and is to be left out."""

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error)
"""What PIL raises for files that are missing, cut short or no images."""


class ImageSet(Dataset[tuple[Any, int]]):
    """A set of images with labels.

    An image that cannot be read stops the run; with :attr:`on_corrupt` set to ``skip`` it becomes
    a black image with label -1, and a warning names it.

    Args:
        labels: Label of each image.
        candidate_labels: The labels that the set can hold, to which candidates are restricted;
            all when not given. An entry that is a sequence merges classes of the model: the first
            is the label of all of them.
        keys: A stable name for each image; its position when not given.
    """

    transform: Transform | None = None
    on_corrupt: OnCorrupt = "stop"

    def __init__(
        self,
        labels: Sequence[int],
        candidate_labels: Sequence[int | Sequence[int]] | None = None,
        keys: Sequence[str] | None = None,
    ) -> None:
        self.labels = list(labels)
        self.candidate_labels = None if candidate_labels is None else tuple(candidate_labels)
        self.keys = None if keys is None else list(keys)

    @abstractmethod
    def image(self, index: int) -> Image:
        """The image as it is stored."""

    def location(self, index: int) -> str:
        """What an image is called in messages."""
        return str(index) if self.keys is None else self.keys[index]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Image and label; the image is a tensor once a transform is set.

        Raises:
            InputError: If the image cannot be read, and such images are not skipped.
        """
        label = self.labels[index]
        try:
            image = self.image(index)
            image.load()
        except (*UNREADABLE, PILImage.DecompressionBombError) as error:
            self._report(index, error)
            image, label = PILImage.new("RGB", (512, 512)), SKIPPED
        return (image if self.transform is None else self.transform(image)), label

    def _report(self, index: int, error: Exception) -> None:
        problem = (
            f"Expected an image that can be read, but got {self.location(index)} "
            f"({type(error).__name__}: {error})."
        )
        if self.on_corrupt == "stop":
            raise InputError(
                f"{problem} Replace the file, or give on_corrupt='skip' to leave such images out."
            ) from error
        warnings.warn(f"{problem} It is left out.", stacklevel=3)


class ImageDataModule(LightningDataModule):
    """Base of the data modules.

    Args:
        batch_size: Images in a batch.
        num_workers: Worker processes that load images.
        on_corrupt: What an image that cannot be read does: ``stop`` the run, or be left out
            (``skip``) with a warning.

    Raises:
        InputError: If an argument is not one of these.
    """

    classnames: Sequence[str]
    """Class names in the order of labels."""

    def __init__(
        self, batch_size: int = 64, num_workers: int = 0, on_corrupt: OnCorrupt = "stop"
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise InputError(
                f"Expected argument `batch_size` to be at least 1, but got {batch_size}."
            )
        if num_workers < 0:
            raise InputError(
                f"Expected argument `num_workers` to be at least 0, but got {num_workers}."
            )
        if on_corrupt not in get_args(OnCorrupt):
            raise InputError(
                f"Expected argument `on_corrupt` to be 'stop' or 'skip', but got {on_corrupt!r}."
            )
        self.batch_size, self.num_workers = batch_size, num_workers
        self.on_corrupt: OnCorrupt = on_corrupt
        self.transform: Transform | None = None
        self._of_model: Transform | None = None

    def use_transform_of_model(self, transform: Transform) -> None:
        """Take a model's transform, unless a person has set another.

        Args:
            transform: From a PIL image to what the model takes.
        """
        if self.transform is None or self.transform is self._of_model:
            self.transform = self._of_model = transform

    @abstractmethod
    def test_sets(self) -> dict[str, ImageSet]:
        """The test sets by name."""

    def loader(self, images: ImageSet, **kwargs: Any) -> DataLoader[Any]:
        """A loader of a set, with the transform set and corrupt images treated as asked for.

        Args:
            images: The set.
            **kwargs: Arguments of :class:`torch.utils.data.DataLoader`.

        Returns:
            The loader.
        """
        images.transform, images.on_corrupt = self.transform, self.on_corrupt
        defaults = {"batch_size": self.batch_size, "num_workers": self.num_workers}
        return DataLoader(images, **{**defaults, "pin_memory": torch.cuda.is_available(), **kwargs})

    def test_dataloader(self) -> dict[str, DataLoader[Any]]:
        """One loader a test set, by name."""
        return {name: self.loader(images) for name, images in self.test_sets().items()}

    def val_dataloader(self) -> Any:
        """Images to fit a temperature on, which must not be those of the test.

        Raises:
            InputError: If the data module has none.
        """
        raise InputError(
            f"Expected a data module with validation images, but {type(self).__name__} has none. "
            "Validate on images of your own (ImageFolder, ImageCSV), held out from the test."
        )

    def predict_dataloader(self) -> dict[str, DataLoader[Any]]:
        """The test sets, whose labels prediction leaves aside."""
        return self.test_dataloader()
