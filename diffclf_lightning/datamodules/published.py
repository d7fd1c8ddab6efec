"""Data modules of published test sets, which torchvision or the user fetches."""

from pathlib import Path
from typing import Any, ClassVar

from diffclf_lightning.datamodules.checks import check_count
from diffclf_lightning.datamodules.single import SingleSet
from diffclf_lightning.errors import InputError


class PublishedSet(SingleSet):
    """Base of the data modules of published test sets.

    Args:
        root: Folder that holds the data set's own folder.
        download: Whether to fetch the data set if it is not there. Defaults to False.
        **kwargs: ``batch_size``, ``num_workers`` and ``on_corrupt`` of :class:`ImageDataModule`.
    """

    title: ClassVar[str]
    """The data set's own name."""
    address: ClassVar[str]
    """Where it is published."""
    expected_images: ClassVar[int]
    """Number of images in the published test set."""

    def __init__(self, root: str | Path, download: bool = False, **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self.download = download

    def check_count(self, images: int, detail: str = "") -> None:
        """See :func:`check_count`."""
        check_count(self.title, images, self.expected_images, self.root, detail)


class ManualSet(PublishedSet):
    """Base of the test sets that the user has to fetch.

    Args:
        root: Folder that holds the data set's own folder.
        download: Must be False: an error says where to fetch the data set.
        **kwargs: ``batch_size``, ``num_workers`` and ``on_corrupt`` of :class:`ImageDataModule`.

    Raises:
        InputError: If ``download`` is true.
    """

    tree: ClassVar[str]
    """The files that are expected below ``root``."""

    def __init__(self, root: str | Path, download: bool = False, **kwargs: Any) -> None:
        super().__init__(root, download, **kwargs)
        if download:
            raise InputError(
                f"Expected argument `download` to be false for {self.title}, which you have to "
                f"fetch yourself, but got {download}. {self._instructions()}"
            )

    def missing(self, found: str) -> InputError:
        """The error for files that are not there, with the address and the expected tree of files.

        Args:
            found: What is there instead.
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
