"""CIFAR-10 (Krizhevsky 2009): 10 classes, 10,000 test images of 32x32 pixels."""

from typing import Any

from torchvision import datasets

from diffclf_lightning.datamodules.base import ImageSet
from diffclf_lightning.datamodules.published import TorchvisionSet
from diffclf_lightning.datamodules.sets import IndexedImages


class CIFAR10(TorchvisionSet):
    """The test images of CIFAR-10; see :class:`TorchvisionSet` for the arguments."""

    name = "cifar10"
    title = "CIFAR-10"
    address = "https://www.cs.toronto.edu/~kriz/cifar.html"
    folder = "cifar-10-batches-py"
    expected_images = 10000
    classnames = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )

    def open(self, download: bool) -> Any:
        """See :meth:`TorchvisionSet.open`."""
        return datasets.CIFAR10(self.root, train=False, download=download)

    def images(self, dataset: Any) -> ImageSet:
        """See :meth:`TorchvisionSet.images`."""
        return IndexedImages(dataset, dataset.targets)
