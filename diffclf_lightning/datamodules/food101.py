"""Food-101 (Bossard et al. 2014): 101 dishes, 250 test images each."""

from typing import Any

from torchvision import datasets

from diffclf_lightning.datamodules.base import ImageSet
from diffclf_lightning.datamodules.names import for_prompt, read_classnames
from diffclf_lightning.datamodules.published import TorchvisionSet
from diffclf_lightning.datamodules.sets import labels_by_name


class Food101(TorchvisionSet):
    """The test split of Food-101; see :class:`TorchvisionSet` for the arguments."""

    name = "food101"
    title = "Food-101"
    address = "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"
    folder = "food-101"
    expected_images = 25250
    classnames = read_classnames("food101.txt")

    def open(self, download: bool) -> Any:
        """See :meth:`TorchvisionSet.open`."""
        return datasets.Food101(self.root, split="test", download=download, loader=str)

    def images(self, dataset: Any) -> ImageSet:
        """See :meth:`TorchvisionSet.images`."""
        labels = labels_by_name(map(for_prompt, dataset.classes), self.classnames)
        rows = (dataset[i] for i in range(len(dataset)))
        return self.file_images([(file, labels[label]) for file, label in rows])
