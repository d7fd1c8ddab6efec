"""Oxford 102 Flowers (Nilsback and Zisserman 2008): 6,149 test images."""

from typing import Any

from torchvision import datasets

from diffclf_lightning.datamodules.base import ImageSet
from diffclf_lightning.datamodules.names import read_classnames
from diffclf_lightning.datamodules.published import TorchvisionSet


class Flowers102(TorchvisionSet):
    """The test split of Oxford 102 Flowers; see :class:`TorchvisionSet` for the arguments."""

    name = "flowers102"
    title = "Oxford 102 Flowers"
    address = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    folder = "flowers-102"
    metric = "mean_per_class_accuracy"
    expected_images = 6149
    classnames = read_classnames("flowers102.txt")

    def open(self, download: bool) -> Any:
        """See :meth:`TorchvisionSet.open`."""
        return datasets.Flowers102(self.root, split="test", download=download, loader=str)

    def images(self, dataset: Any) -> ImageSet:
        """See :meth:`TorchvisionSet.images`."""
        return self.file_images([dataset[i] for i in range(len(dataset))])
