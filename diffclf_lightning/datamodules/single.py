"""Data modules of one test set: what all of them check before the first image is evaluated."""

from abc import abstractmethod
from pathlib import Path
from typing import Literal

from diffclf_lightning.datamodules.base import ImageDataModule, ImageSet, OnCorrupt
from diffclf_lightning.datamodules.checks import checked

Metric = Literal["accuracy", "mean_per_class_accuracy"]


class SingleSet(ImageDataModule):
    """A data module of one test set below a folder.

    Args:
        root: The folder.
        batch_size: Images in a batch.
        num_workers: Worker processes that load images.
        on_corrupt: What an image that cannot be read does: ``stop`` the run, or be left out
            (``skip``) with a warning.

    Raises:
        InputError: If an argument is out of range.
    """

    name: str
    """Name of the test set."""
    metric: Metric = "accuracy"
    """The metric that is published for the set."""

    def __init__(
        self,
        root: str | Path,
        batch_size: int = 64,
        num_workers: int = 0,
        on_corrupt: OnCorrupt = "stop",
    ) -> None:
        super().__init__(batch_size, num_workers, on_corrupt)
        self.root = Path(root).expanduser()
        self._images: ImageSet | None = None

    @abstractmethod
    def read(self) -> ImageSet:
        """Labels and names of all images; no image is opened.

        Raises:
            InputError: If the data is not there, or not in its published form.
        """

    def setup(self, stage: str = "test") -> None:
        """Find the images.

        Args:
            stage: Lightning's stage.

        Raises:
            InputError: If the data is not there, or not in its published form.
        """
        if self._images is None:
            self._images = self._checked()

    def test_sets(self) -> dict[str, ImageSet]:
        """See :meth:`ImageDataModule.test_sets`.

        Without a trainer, which prepares the data and sets the module up, this does both.
        """
        if self._images is None:
            self.prepare_data()
            self._images = self._checked()
        return {self.name: self._images}

    def _checked(self) -> ImageSet:
        return checked(self.read(), self.name, self.root, self.on_corrupt)
