"""What all data modules share: named test sets whose samples are dicts, in the model's transform.

Data sets give PIL images; the transform that turns them into tensors belongs to the model. The
classifier sets it (:meth:`ImageDataModule.set_default_transform`), so that a user never repeats it.
"""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict, get_args

import torch
from lightning.pytorch import LightningDataModule
from PIL import Image as PILImage
from PIL.Image import Image
from torch.utils.data import DataLoader, Dataset

from diffclf_lightning.errors import InputError
from diffclf_lightning.images import UNREADABLE, Transform
from diffclf_lightning.ranges import check_whole

OnCorrupt = Literal["stop", "skip"]


class Sample(TypedDict):
    """One image of a set; the default collate function makes batches of the same names."""

    image: Any
    """A tensor once the set has a transform, a PIL image before."""
    label: NotRequired[int]
    """Absent where the set has no labels."""
    key: str
    """A name that is the same in every run."""
    readable: bool
    """False for an image that could not be read, which is black here."""


class ImageSet(Dataset[Sample]):
    """A set of images with labels, whose samples are dicts (:class:`Sample`).

    A subclass gives :meth:`image`. An image that cannot be read stops the run; with
    ``on_corrupt`` set to ``"skip"`` its sample keeps the label and the key, is black and not
    ``readable``, and a warning names it.

    Args:
        labels: Label of each image, from 0. None if they are not known: for prediction alone.
        candidate_labels: The labels that the set can hold, to which candidates are restricted. An
            entry that is a sequence merges classes of the model: the first is the label of all of
            them. Defaults to None: all labels.
        keys: A stable name for each image. Defaults to None: its position in ``labels``.
    """

    transform: Transform | None = None
    on_corrupt: OnCorrupt = "stop"

    def __init__(
        self,
        labels: Sequence[int] | None,
        candidate_labels: Sequence[int | Sequence[int]] | None = None,
        keys: Sequence[str] | None = None,
    ) -> None:
        self.labels = list(labels or ())
        self.candidate_labels = None if candidate_labels is None else tuple(candidate_labels)
        self.keys = list(map(str, range(len(self.labels))) if keys is None else keys)

    @abstractmethod
    def image(self, index: int) -> Image:
        """The image at a position of the set, as it is stored."""

    def location(self, index: int) -> str:
        """What messages call the image at a position of the set."""
        return self.keys[index]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position of the set.

        Raises:
            InputError: If the image cannot be read and ``on_corrupt`` is ``"stop"``.
        """
        readable = True
        try:
            image = self.image(index)
            image.load()
        except UNREADABLE as error:
            self._report(index, error)
            image, readable = PILImage.new("RGB", (512, 512)), False
        sample: Sample = {
            "image": image if self.transform is None else self.transform(image),
            "key": self.keys[index],
            "readable": readable,
        }
        return {**sample, "label": self.labels[index]} if self.labels else sample

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
    """Base of the data modules: a subclass gives :meth:`test_sets` and ``classnames``.

    Args:
        batch_size: Images in a batch. Defaults to 64.
        num_workers: Worker processes that load images. Defaults to 0: the process itself.
        on_corrupt: What to do about an image that cannot be read: ``"stop"`` the run, or
            ``"skip"`` the image with a warning. Defaults to ``"stop"``.

    Raises:
        InputError: If an argument is out of range.
    """

    classnames: Sequence[str]
    """Class names in the order of labels."""

    def __init__(
        self, batch_size: int = 64, num_workers: int = 0, on_corrupt: OnCorrupt = "stop"
    ) -> None:
        super().__init__()
        for name, value, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
            check_whole(name, value, least)
        if on_corrupt not in get_args(OnCorrupt):
            raise InputError(
                f"Expected argument `on_corrupt` to be 'stop' or 'skip', but got {on_corrupt!r}."
            )
        self.batch_size, self.num_workers = batch_size, num_workers
        self.on_corrupt: OnCorrupt = on_corrupt
        self.transform: Transform | None = None
        self._default: Transform | None = None

    def set_default_transform(self, transform: Transform) -> None:
        """Use a model's transform, unless the user has set ``transform``."""
        if self.transform is None or self.transform is self._default:
            self.transform = self._default = transform

    @abstractmethod
    def test_sets(self) -> dict[str, ImageSet]:
        """The test sets by name."""

    def loader(self, images: ImageSet, **kwargs: Any) -> DataLoader[Any]:
        """A loader of a set, in the module's transform.

        Args:
            images: The set.
            **kwargs: Arguments of :class:`torch.utils.data.DataLoader`.

        Returns:
            Its batches are dicts: ``image``, shape ``(batch, channels, height, width)``; ``label``,
            int64, shape ``(batch,)``; ``key``, a list of str; ``readable``, bool, shape
            ``(batch,)``.
        """
        images.transform, images.on_corrupt = self.transform, self.on_corrupt
        defaults = {"batch_size": self.batch_size, "num_workers": self.num_workers}
        return DataLoader(images, **{**defaults, "pin_memory": torch.cuda.is_available(), **kwargs})

    def test_dataloader(self) -> dict[str, DataLoader[Any]]:
        """A loader of each test set, by name."""
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
        """A loader of each test set; prediction ignores the labels."""
        return self.test_dataloader()
