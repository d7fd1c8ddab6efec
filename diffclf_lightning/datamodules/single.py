"""Data modules of test sets below a folder, found and checked before the first evaluation."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal

from diffclf_lightning.datamodules.base import ImageDataModule, ImageSet
from diffclf_lightning.datamodules.checks import checked
from diffclf_lightning.paths import path_of

Metric = Literal["accuracy", "mean_per_class_accuracy"]


class StoredSets(ImageDataModule):
    """Base of the data modules whose test sets lie below a folder; a subclass gives :meth:`find`.

    Args:
        root: The folder; ``~`` is expanded.
        **kwargs: ``batch_size``, ``num_workers`` and ``on_corrupt`` of :class:`ImageDataModule`.
    """

    def __init__(self, root: str | Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.root = path_of(root)
        self._sets: dict[str, ImageSet] = {}

    @abstractmethod
    def find(self) -> dict[str, ImageSet]:
        """The test sets by name, checked; no image is decoded.

        Raises:
            InputError: If the data is not there, or not in its published form.
        """

    def setup(self, stage: str = "test") -> None:
        """Find the test sets, once; errors are those of :meth:`StoredSets.find`."""
        self._sets = self._sets or self.find()

    def test_sets(self) -> dict[str, ImageSet]:
        """The test sets by name; prepares the data where no trainer has done so."""
        if not self._sets:
            self.prepare_data()
            self.setup()
        return dict(self._sets)


class SingleSet(StoredSets):
    """Base of the data modules of one test set; a subclass gives :meth:`read`."""

    name: str
    """Name of the test set."""
    metric: Metric = "accuracy"
    """The metric that is published for the set."""

    @abstractmethod
    def read(self) -> ImageSet:
        """Labels and keys of all images, unopened; errors are those of :meth:`StoredSets.find`."""

    def find(self) -> dict[str, ImageSet]:
        return {self.name: checked(self.read(), self.name, self.root, self.on_corrupt)}
