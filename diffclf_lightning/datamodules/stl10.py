"""STL-10 (Coates et al. 2011): 10 classes, 8,000 test images of 96x96 pixels."""

from typing import Any

from torchvision import datasets

from diffclf_lightning.datamodules.base import ImageSet
from diffclf_lightning.datamodules.published import TorchvisionSet
from diffclf_lightning.datamodules.sets import IndexedImages


class STL10(TorchvisionSet):
    """The test images of STL-10; see :class:`TorchvisionSet` for the arguments."""

    name = "stl10"
    title = "STL-10"
    address = "https://cs.stanford.edu/~acoates/stl10/"
    folder = "stl10_binary"
    expected_images = 8000
    classnames = (
        "airplane",
        "bird",
        "car",
        "cat",
        "deer",
        "dog",
        "horse",
        "monkey",
        "ship",
        "truck",
    )

    def open(self, download: bool) -> Any:
        """See :meth:`TorchvisionSet.open`."""
        return datasets.STL10(self.root, split="test", download=download)

    def images(self, dataset: Any) -> ImageSet:
        """See :meth:`TorchvisionSet.images`."""
        return IndexedImages(dataset, dataset.labels)
