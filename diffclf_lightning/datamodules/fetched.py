"""Test sets that torchvision fetches and reads: those of the zero-shot evaluation.

Food-101 (Bossard et al. 2014), CIFAR-10 (Krizhevsky 2009), FGVC-Aircraft (Maji et al. 2013),
Oxford-IIIT Pet (Parkhi et al. 2012), Oxford 102 Flowers (Nilsback and Zisserman 2008), STL-10
(Coates et al. 2011). Arguments are those of :class:`PublishedSet`.
"""

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from torchvision import datasets

from diffclf_lightning.datamodules.base import ImageSet
from diffclf_lightning.datamodules.names import for_prompt, read_lines
from diffclf_lightning.datamodules.published import PublishedSet
from diffclf_lightning.datamodules.sets import IndexedImages, PublishedImages, relative_keys
from diffclf_lightning.errors import InputError


class TorchvisionSet(PublishedSet):
    """Base of the test sets that torchvision fetches and reads; see :class:`PublishedSet`."""

    folder: ClassVar[str]
    """The data set's own folder below ``root``."""
    dataset: ClassVar[type[Any]]
    """Torchvision's class."""
    test_split: ClassVar[Mapping[str, Any]] = {"split": "test", "loader": str}
    """Its arguments; the loader leaves images unopened, as paths."""
    order_from_files: ClassVar[bool] = False
    """Whether labels follow the data set's own files, and are matched to ours by class name."""

    def prepare_data(self) -> None:
        """Fetch the data set where ``download`` is true.

        Raises:
            InputError: If it cannot be fetched.
        """
        if self.download:
            self._open(download=True)

    def read(self) -> ImageSet:
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

    def images(self, dataset: Any) -> ImageSet:
        """The images of torchvision's data set, unopened."""
        rows = [dataset[i] for i in range(len(dataset))]
        labels = [label for _, label in rows]
        if self.order_from_files:
            ours = self._labels_by_name(dataset.classes)
            labels = [ours[label] for label in labels]
        return self.file_images([file for file, _ in rows], labels)

    def file_images(self, files: Sequence[str | Path], labels: Sequence[int]) -> PublishedImages:
        """A set of files, with keys relative to the data set's own folder."""
        paths = [Path(file) for file in files]
        keys = relative_keys(paths, self.root / self.folder)
        return PublishedImages(paths, [int(label) for label in labels], keys)

    def _labels_by_name(self, classes: Sequence[str]) -> list[int]:
        names = [for_prompt(name) for name in classes]
        unknown = [name for name in names if name not in self.classnames]
        if unknown:
            raise InputError(
                f"Expected classes among the {len(self.classnames)} known ones, but got "
                f"{', '.join(map(repr, unknown[:5]))}{' and more' if len(unknown) > 5 else ''}. "
                "Check that the folder holds this data set, as it was published."
            )
        return [self.classnames.index(name) for name in names]

    def _open(self, download: bool) -> Any:
        try:
            with _unpacked_inside():
                return self.dataset(self.root, download=download, **self.test_split)
        except (RuntimeError, OSError, ValueError, KeyError, tarfile.TarError) as error:
            own, detail = self.root / self.folder, f"{type(error).__name__}: {error}"
            if download:
                raise InputError(
                    f"Expected to fetch {self.title} to `root`={str(self.root)!r}, but got "
                    f"{detail}. Check the connection and the free space, or fetch it by hand from "
                    f"{self.address} and unpack it to {own}."
                ) from error
            found = "none, or damaged files" if isinstance(error, RuntimeError) else detail
            raise InputError(
                f"Expected {self.title} in {own} (argument `root`={str(self.root)!r}), but got "
                f"{found}. Pass download=True to fetch it, after removing what is there if it is "
                "incomplete, or give another `root`."
            ) from error


@contextmanager
def _unpacked_inside() -> Iterator[None]:
    """Archives are unpacked into their folder alone: torchvision takes them as they are."""
    before = tarfile.TarFile.extraction_filter
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before


class Food101(TorchvisionSet):
    """The 25,250 test images of Food-101, in ``root/food-101``; see :class:`PublishedSet`."""

    name = "food101"
    title = "Food-101"
    address = "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"
    folder = "food-101"
    expected_images = 25250
    classnames = read_lines("food101.txt")
    dataset = datasets.Food101
    order_from_files = True


class CIFAR10(TorchvisionSet):
    """The 10,000 test images of CIFAR-10, in ``root/cifar-10-batches-py``.

    See :class:`PublishedSet`.
    """

    name = "cifar10"
    title = "CIFAR-10"
    address = "https://www.cs.toronto.edu/~kriz/cifar.html"
    folder = "cifar-10-batches-py"
    expected_images = 10000
    classnames = read_lines("cifar10.txt")
    dataset = datasets.CIFAR10
    test_split: ClassVar[Mapping[str, Any]] = {"train": False}

    def images(self, dataset: Any) -> ImageSet:
        return IndexedImages(dataset, dataset.targets)


class FGVCAircraft(TorchvisionSet):
    """The 3,333 test images of FGVC-Aircraft, labelled by variant, in ``root/fgvc-aircraft-2013b``.

    See :class:`PublishedSet`.
    """

    name = "aircraft"
    title = "FGVC-Aircraft"
    address = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"
    folder = "fgvc-aircraft-2013b"
    metric = "mean_per_class_accuracy"
    expected_images = 3333
    classnames = read_lines("aircraft.txt")
    dataset = datasets.FGVCAircraft
    order_from_files = True


class OxfordPets(TorchvisionSet):
    """The 3,669 test images of Oxford-IIIT Pet, labelled by breed, in ``root/oxford-iiit-pet``.

    Class names are those of the published zero-shot evaluation, which adds "cat" or "dog" to
    every breed but the American Bulldog. See :class:`PublishedSet`.
    """

    name = "pets"
    title = "Oxford-IIIT Pet"
    address = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
    folder = "oxford-iiit-pet"
    metric = "mean_per_class_accuracy"
    expected_images = 3669
    classnames = read_lines("pets.txt")
    dataset = datasets.OxfordIIITPet
    test_split: ClassVar[Mapping[str, Any]] = {"split": "test"}

    def images(self, dataset: Any) -> ImageSet:
        # Unlike its siblings it takes no `loader`, and opens every image that it is asked for.
        return self.file_images(dataset._images, dataset._labels)


class Flowers102(TorchvisionSet):
    """The 6,149 test images of Oxford 102 Flowers, in ``root/flowers-102``.

    Class names are those of the published zero-shot evaluation; three differ from torchvision's.
    See :class:`PublishedSet`.
    """

    name = "flowers102"
    title = "Oxford 102 Flowers"
    address = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    folder = "flowers-102"
    metric = "mean_per_class_accuracy"
    expected_images = 6149
    classnames = read_lines("flowers102.txt")
    dataset = datasets.Flowers102


class STL10(TorchvisionSet):
    """The 8,000 test images of STL-10, in ``root/stl10_binary``; see :class:`PublishedSet`."""

    name = "stl10"
    title = "STL-10"
    address = "https://cs.stanford.edu/~acoates/stl10/"
    folder = "stl10_binary"
    expected_images = 8000
    classnames = read_lines("stl10.txt")
    dataset = datasets.STL10
    test_split: ClassVar[Mapping[str, Any]] = {"split": "test"}

    def images(self, dataset: Any) -> ImageSet:
        return IndexedImages(dataset, dataset.labels)
