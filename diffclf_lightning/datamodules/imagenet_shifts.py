"""ImageNet and its shifts side by side, all with labels among ImageNet's 1000 classes."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from diffclf_lightning.datamodules.base import ImageSet
from diffclf_lightning.datamodules.checks import check_count, checked, chosen_sets
from diffclf_lightning.datamodules.class_folders import (
    ClassFolders,
    ImageNetA,
    ImageNetR,
    ImageNetSketch,
    ImageNetV2,
)
from diffclf_lightning.datamodules.imagenet import NAMES, ImageNet
from diffclf_lightning.datamodules.objectnet import ObjectNet
from diffclf_lightning.datamodules.sets import PublishedImages
from diffclf_lightning.datamodules.single import StoredSets
from diffclf_lightning.errors import InputError

PAPER = (
    "imagenet",
    "imagenetv2",
    "imagenet_a_id",
    "imagenet_a",
    "imagenet_objectnet_id",
    "objectnet",
)
"""The sets of the paper: the ID sets hold the validation images of the classes of a shift."""


class ImageNetShifts(StoredSets):
    """ImageNet, its shifts, and for some shifts the validation images of their classes (``_id``).

    Candidates of a set are restricted to its classes. Where several classes make one object of
    ObjectNet, the smallest label stands for all of them. Images are sorted by key: the file name
    of a validation image, the path inside the set's own folder of any other.

    Args:
        root: Folder that holds the folders of the sets, each as the data module of that set
            expects it. Only the data of the named sets has to be there.
        test_sets: Names of the test sets: ``imagenet``, ``imagenetv2``, ``imagenet_a_id``,
            ``imagenet_a``, ``imagenet_r_id``, ``imagenet_r``, ``imagenet_sketch``,
            ``imagenet_objectnet_id``, ``objectnet``, or ``all``. Defaults to those of the paper.
        subset: Number of images of ``imagenet``, the same number of each class. Defaults to 10000.
            None: all images.
        seed: Chooses the subset. Defaults to 0.
        **kwargs: ``batch_size``, ``num_workers`` and ``on_corrupt`` of :class:`ImageDataModule`.

    Raises:
        InputError: If an argument is out of range, or a test set is unknown or named twice.
    """

    classnames = NAMES

    def __init__(
        self,
        root: str | Path,
        test_sets: Sequence[str] = PAPER,
        subset: int | None = 10000,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(root, **kwargs)
        self.imagenet = ImageNet(self.root, subset=subset, seed=seed)
        self.objectnet = ObjectNet(self.root)
        self.names = chosen_sets(test_sets, list(self._steps()))

    def find(self) -> dict[str, ImageSet]:
        # One error names all problems of all sets.
        sets: dict[str, ImageSet] = {}
        problems: dict[str, dict[str, None]] = {}
        for name in self.names:
            for step in self._steps()[name]:
                try:
                    found = step()
                    if isinstance(found, ImageSet):
                        sets[name] = checked(found, name, self.root, self.on_corrupt)
                except InputError as error:
                    problems.setdefault(str(error), {})[name] = None
        if problems:
            raise InputError(
                f"Expected whole copies of the data of {len(self.names)} test sets below `root`="
                f"{str(self.root)!r}, but got problems with {len(self.names) - len(sets)} of them. "
                "Correct what follows, or leave these sets out of `test_sets`."
                + "".join(f"\n{', '.join(names)}: {said}" for said, names in problems.items())
            )
        return sets

    def _steps(self) -> dict[str, tuple[Callable[[], Any], ...]]:
        """How each set is read: the last step gives it, one before finds what else it needs."""
        return {
            "imagenet": (self._imagenet,),
            "imagenetv2": (partial(self._published, ImageNetV2),),
            "imagenet_a_id": (partial(self._id_set, "imagenet_a_id", ImageNetA),),
            "imagenet_a": (partial(self._published, ImageNetA),),
            "imagenet_r_id": (partial(self._id_set, "imagenet_r_id", ImageNetR),),
            "imagenet_r": (partial(self._published, ImageNetR),),
            "imagenet_sketch": (partial(self._published, ImageNetSketch),),
            "imagenet_objectnet_id": (lambda: self._validation, self._objectnet_id),
            "objectnet": (self._objectnet,),
        }

    @cached_property
    def _validation(self) -> list[tuple[Path, int]]:
        return self.imagenet.rows()

    @cached_property
    def _groups(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(ids) for ids in self.objectnet.imagenet_ids)

    def _imagenet(self) -> ImageSet:
        images = self.imagenet.chosen(self._validation)
        self.imagenet.check_count(len(self._validation))
        if self.imagenet.subset is not None:
            check_count("imagenet", len(images), self.imagenet.subset, self.root)
        return images

    def _published(self, module: type[ClassFolders]) -> ImageSet:
        shifted = module(self.root)
        # `root` itself is no set's own folder here: validation images may lie in it.
        if shifted.own_folder is None:
            raise shifted.missing(f"no folder {' or '.join(shifted.folders)}")
        return shifted.read()

    def _id_set(self, name: str, module: type[ClassFolders]) -> ImageSet:
        labels = list(module.label_of.values())
        return self._of_classes(name, 10000, {label: label for label in labels}, labels)

    def _objectnet_id(self) -> ImageSet:
        merged = {label: group[0] for group in self._groups for label in group}
        return self._of_classes("imagenet_objectnet_id", 6250, merged, self._groups)

    def _of_classes(
        self,
        name: str,
        expected: int,
        label_of: Mapping[int, int],
        candidate_labels: Sequence[int | Sequence[int]],
    ) -> ImageSet:
        rows = [(file, label_of[label]) for file, label in self._validation if label in label_of]
        check_count(name, len(rows), expected, self.root)
        files, labels = [file for file, _ in rows], [label for _, label in rows]
        return PublishedImages(files, labels, [file.name for file in files], candidate_labels)

    def _objectnet(self) -> ImageSet:
        images = self.objectnet.read()
        images.labels = [self._groups[label][0] for label in images.labels]
        images.candidate_labels = self._groups
        return images
