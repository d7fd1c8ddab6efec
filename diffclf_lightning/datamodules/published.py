"""Data modules of published test sets: fetched by torchvision, or by a person."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from diffclf_lightning.datamodules.base import ImageSet, OnCorrupt
from diffclf_lightning.datamodules.checks import check_count
from diffclf_lightning.datamodules.sets import FileImages, relative_keys
from diffclf_lightning.datamodules.single import SingleSet
from diffclf_lightning.errors import InputError


class PublishedSet(SingleSet):
    """A data module of a published test set.

    Args:
        root: Folder that holds the data set's own folder.
        download: Fetch the data set if it is not there.
        batch_size: Images in a batch.
        num_workers: Worker processes that load images.
        on_corrupt: What an image that cannot be read does: ``stop`` the run, or be left out
            (``skip``) with a warning.

    Raises:
        InputError: If an argument is out of range.
    """

    title: ClassVar[str]
    """The data set's own name."""
    address: ClassVar[str]
    """Where it is published."""
    expected_images: ClassVar[int]
    """Number of images in the published test set."""

    def __init__(
        self,
        root: str | Path,
        download: bool = False,
        batch_size: int = 64,
        num_workers: int = 0,
        on_corrupt: OnCorrupt = "stop",
    ) -> None:
        super().__init__(root, batch_size, num_workers, on_corrupt)
        self.download = download

    def check_count(self, images: int, detail: str = "") -> None:
        """Warn if a copy of the set is not the whole.

        Args:
            images: Number of its images.
            detail: What is known of the images that are not there.
        """
        check_count(self.title, images, self.expected_images, self.root, detail)


class TorchvisionSet(PublishedSet):
    """A test set that torchvision fetches and reads.

    Args:
        root: Folder that holds the data set's own folder.
        download: Fetch the data set if it is not there.
        batch_size: Images in a batch.
        num_workers: Worker processes that load images.
        on_corrupt: What an image that cannot be read does: ``stop`` the run, or be left out
            (``skip``) with a warning.

    Raises:
        InputError: If an argument is out of range.
    """

    folder: ClassVar[str]
    """The data set's own folder below ``root``."""

    @abstractmethod
    def open(self, download: bool) -> Any:
        """Torchvision's data set of the test split.

        Args:
            download: Fetch it if it is not there.
        """

    @abstractmethod
    def images(self, dataset: Any) -> ImageSet:
        """The images of torchvision's data set.

        Args:
            dataset: From :meth:`open`.
        """

    def prepare_data(self) -> None:
        """Fetch the data set, if asked for.

        Raises:
            InputError: If it cannot be fetched.
        """
        if self.download:
            self._open(download=True)

    def read(self) -> ImageSet:
        """See :meth:`SingleSet.read`."""
        images = self.images(self._open(download=False))
        known = range(len(self.classnames))
        outside = [label for label in images.labels if label not in known]
        if outside:
            raise InputError(
                f"Expected labels from 0 to {len(known) - 1} in {self.root / self.folder}, but got "
                f"{outside[0]}. Check that the folder holds {self.title} as it was published."
            )
        self.check_count(len(images))
        return images

    def file_images(self, rows: Sequence[tuple[str | Path, int]]) -> FileImages:
        """The set of some files.

        Args:
            rows: Path and label of each image.

        Returns:
            The set, with keys relative to the data set's own folder.
        """
        files = [Path(file) for file, _ in rows]
        keys = relative_keys(files, self.root / self.folder)
        return FileImages(files, [int(label) for _, label in rows], keys)

    def _open(self, download: bool) -> Any:
        try:
            return self.open(download)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            if download:
                raise InputError(
                    f"Expected to fetch {self.title} to `root`={str(self.root)!r}, but got "
                    f"{type(error).__name__}: {error}. Check the connection and the free space, or "
                    f"fetch it by hand from {self.address} and unpack it to "
                    f"{self.root / self.folder}."
                ) from error
            detail = f"{type(error).__name__}: {error}"
            found = "none, or damaged files" if isinstance(error, RuntimeError) else detail
            raise InputError(
                f"Expected {self.title} in {self.root / self.folder} (argument `root`="
                f"{str(self.root)!r}), but got {found}. Pass download=True to fetch it, after "
                "removing what is there if it is incomplete, or give another `root`."
            ) from error


class ManualSet(PublishedSet):
    """A test set that a person has to fetch.

    Args:
        root: Folder that holds the data set's own folder.
        download: Not possible: says how to fetch the data set.
        batch_size: Images in a batch.
        num_workers: Worker processes that load images.
        on_corrupt: What an image that cannot be read does: ``stop`` the run, or be left out
            (``skip``) with a warning.

    Raises:
        InputError: If an argument is out of range, or ``download`` is asked for.
    """

    tree: ClassVar[str]
    """The files that are expected below ``root``."""

    def __init__(
        self,
        root: str | Path,
        download: bool = False,
        batch_size: int = 64,
        num_workers: int = 0,
        on_corrupt: OnCorrupt = "stop",
    ) -> None:
        super().__init__(root, download, batch_size, num_workers, on_corrupt)
        if download:
            raise InputError(
                f"Expected argument `download` to be false for {self.title}, which only a person "
                f"can fetch, but got {download}. {self._instructions()}"
            )

    def missing(self, found: str) -> InputError:
        """The error for files that are not there.

        Args:
            found: What there is instead.

        Returns:
            The error, with the address and the tree of files.
        """
        return InputError(
            f"Expected {self.title} below `root`={str(self.root)!r}, but got {found}. "
            f"{self._instructions()}"
        )

    def _instructions(self) -> str:
        return (
            f"Fetch it from {self.address} and unpack it so that there are, below "
            f"{self.root}:\n{self.tree}"
        )
