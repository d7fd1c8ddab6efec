"""Test sets of ImageNet's classes with one folder a class; labels are those of the 1000 classes.

ImageNet-A: natural images that mislead classifiers (Hendrycks et al. 2019). ImageNet-R: renditions,
such as art, cartoons and toys (Hendrycks et al. 2020). ImageNet-Sketch: black and white sketches
(Wang et al. 2019). ImageNetV2: images gathered anew as ImageNet's were (Recht et al. 2019).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from diffclf_lightning.datamodules.imagenet import LABEL_OF, NAMES
from diffclf_lightning.datamodules.names import read_lines
from diffclf_lightning.datamodules.published import ManualSet
from diffclf_lightning.datamodules.sets import PublishedImages, image_files
from diffclf_lightning.errors import InputError


class ClassFolders(ManualSet):
    """Base of the sets with one folder of images a class, labelled among ImageNet's 1000 classes.

    The set's own folder lies below ``root``, or is ``root`` itself; see :class:`ManualSet` for the
    arguments.
    """

    folders: ClassVar[Sequence[str]]
    """Where the set's own folder may lie below ``root``."""
    label_of: ClassVar[Mapping[str, int]] = LABEL_OF
    """Label of each class folder, ascending."""
    class_folder: ClassVar[re.Pattern[str]] = re.compile(r"n\d{8}")
    """The pattern of the names of class folders."""
    classnames = NAMES

    @property
    def own_folder(self) -> Path | None:
        """The set's own folder below ``root``, or None if ``root`` is that folder."""
        below = (self.root / folder for folder in self.folders)
        return next((folder for folder in below if folder.is_dir()), None)

    @property
    def candidate_labels(self) -> tuple[int, ...] | None:
        """The labels that the set can hold, ascending; None for all 1000."""
        labels = tuple(self.label_of.values())
        return labels if len(labels) < len(NAMES) else None

    def read(self) -> PublishedImages:
        base = self.own_folder or self.root
        self._check_folders(base)
        rows = sorted(
            (file.relative_to(base).as_posix(), file, label)
            for name, label in self.label_of.items()
            for file in image_files(base / name)
        )
        if not rows:
            raise self.missing(f"no images in class folders of {base}")
        keys, files, labels = zip(*rows, strict=True)
        self.check_count(len(rows), self._absent(set(labels)))
        return PublishedImages(files, labels, keys, self.candidate_labels)

    def _check_folders(self, base: Path) -> None:
        entries = sorted(base.iterdir()) if base.is_dir() else []
        names = [e.name for e in entries if self.class_folder.fullmatch(e.name) and e.is_dir()]
        unknown = [name for name in names if name not in self.label_of]
        if unknown:
            raise InputError(
                f"Expected folders of the {len(self.label_of)} classes of {self.title} in {base}, "
                f"but got {', '.join(unknown[:5])}{' and more' if len(unknown) > 5 else ''}. Check "
                f"that the folder holds {self.title} alone, as it was published at {self.address}."
            )

    def _absent(self, labels: Collection[int]) -> str:
        absent = [name for name, label in self.label_of.items() if label not in labels]
        if not absent:
            return ""
        return (
            f"{len(absent)} of its {len(self.label_of)} class folders are missing or empty, the "
            f"first being {absent[0]}"
        )


class ImageNetA(ClassFolders):
    """The 7,500 images of ImageNet-A, in ``root/imagenet-a``; see :class:`ManualSet`.

    Candidates are restricted to its 200 classes.
    """

    name = "imagenet_a"
    title = "ImageNet-A"
    address = "https://github.com/hendrycks/natural-adv-examples"
    tree = "  imagenet-a/n01498041/*.jpg  (one folder a class, 200 of them)"
    expected_images = 7500
    folders = ("imagenet-a",)
    label_of: ClassVar = {synset: LABEL_OF[synset] for synset in read_lines("imagenet_a.txt")}


class ImageNetR(ClassFolders):
    """The 30,000 images of ImageNet-R, in ``root/imagenet-r``; see :class:`ManualSet`.

    Candidates are restricted to its 200 classes.
    """

    name = "imagenet_r"
    title = "ImageNet-R"
    address = "https://github.com/hendrycks/imagenet-r"
    tree = "  imagenet-r/n01443537/*.jpg  (one folder a class, 200 of them)"
    expected_images = 30000
    folders = ("imagenet-r",)
    label_of: ClassVar = {synset: LABEL_OF[synset] for synset in read_lines("imagenet_r.txt")}


class ImageNetSketch(ClassFolders):
    """The 50,889 images of ImageNet-Sketch, in ``root/sketch``; see :class:`ManualSet`."""

    name = "imagenet_sketch"
    title = "ImageNet-Sketch"
    address = "https://github.com/HaohanWang/ImageNet-Sketch"
    tree = (
        "  sketch/n01440764/*.JPEG  (one folder a class, 1000 of them; also below or in\n"
        "  imagenet-sketch)"
    )
    expected_images = 50889
    folders = ("sketch", "imagenet-sketch/sketch", "imagenet-sketch")


class ImageNetV2(ClassFolders):
    """The 10,000 images of ImageNetV2, matched frequency; class folders are named by label.

    They lie in ``root/imagenetv2-matched-frequency-format-val``. See :class:`ManualSet`.
    """

    name = "imagenetv2"
    title = "ImageNetV2 (matched frequency)"
    address = "https://huggingface.co/datasets/vaishaal/ImageNetV2"
    tree = "  imagenetv2-matched-frequency-format-val/0/*.jpeg  (one folder a class, to 999)"
    expected_images = 10000
    folders = ("imagenetv2-matched-frequency-format-val",)
    label_of: ClassVar = {str(label): label for label in range(len(NAMES))}
    class_folder = re.compile(r"\d+")
