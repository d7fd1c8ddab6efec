"""Oxford-IIIT Pet (Parkhi et al. 2012): 37 breeds of cats and dogs, 3,669 test images."""

from typing import Any

from torchvision import datasets

from diffclf_lightning.datamodules.base import ImageSet
from diffclf_lightning.datamodules.names import read_classnames
from diffclf_lightning.datamodules.published import TorchvisionSet


class OxfordPets(TorchvisionSet):
    """The test split of Oxford-IIIT Pet; see :class:`TorchvisionSet` for the arguments."""

    name = "pets"
    title = "Oxford-IIIT Pet"
    address = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
    folder = "oxford-iiit-pet"
    metric = "mean_per_class_accuracy"
    expected_images = 3669
    classnames = read_classnames("pets.txt")

    def open(self, download: bool) -> Any:
        """See :meth:`TorchvisionSet.open`."""
        return datasets.OxfordIIITPet(self.root, split="test", download=download)

    def images(self, dataset: Any) -> ImageSet:
        """See :meth:`TorchvisionSet.images`."""
        # Unlike its siblings it takes no `loader`, and opens every image that it is asked for.
        return self.file_images(list(zip(dataset._images, dataset._labels, strict=True)))
