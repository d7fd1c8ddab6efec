"""FGVC-Aircraft (Maji et al. 2013): 100 variants of aircraft, 3,333 test images."""

from typing import Any

from torchvision import datasets

from diffclf_lightning.datamodules.base import ImageSet
from diffclf_lightning.datamodules.names import read_classnames
from diffclf_lightning.datamodules.published import TorchvisionSet
from diffclf_lightning.datamodules.sets import labels_by_name


class FGVCAircraft(TorchvisionSet):
    """The test split of FGVC-Aircraft by variant; see :class:`TorchvisionSet` for the arguments."""

    name = "aircraft"
    title = "FGVC-Aircraft"
    address = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"
    folder = "fgvc-aircraft-2013b"
    metric = "mean_per_class_accuracy"
    expected_images = 3333
    classnames = read_classnames("aircraft.txt")

    def open(self, download: bool) -> Any:
        """See :meth:`TorchvisionSet.open`."""
        return datasets.FGVCAircraft(
            self.root, split="test", annotation_level="variant", download=download, loader=str
        )

    def images(self, dataset: Any) -> ImageSet:
        """See :meth:`TorchvisionSet.images`."""
        labels = labels_by_name(dataset.classes, self.classnames)
        rows = (dataset[i] for i in range(len(dataset)))
        return self.file_images([(file, labels[label]) for file, label in rows])
