"""ImageNet (ILSVRC 2012): 1000 classes, 50,000 validation images."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.io import loadmat

from diffclf_lightning.classnames import imagenet_classes
from diffclf_lightning.datamodules.published import ManualSet
from diffclf_lightning.datamodules.sets import PublishedImages, image_files
from diffclf_lightning.datamodules.subset import balanced_subset
from diffclf_lightning.errors import InputError

SYNSETS, NAMES = zip(*imagenet_classes(), strict=True)
LABEL_OF = {synset: label for label, synset in enumerate(SYNSETS)}
NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")
DEVKIT = Path("ILSVRC2012_devkit_t12", "data")


class ImageNet(ManualSet):
    """The 50,000 validation images of ImageNet, or a class-balanced subset of them.

    They lie in ``root/val`` (or ``root``), either in folders named by synset or all in one folder;
    in one folder their labels come from the development kit.

    Args:
        root: Folder that holds ``val``.
        download: Must be False: an error says where to fetch the data set.
        subset: Number of images, the same number of each class. Defaults to 2000. None: all images.
        seed: Chooses the subset. Defaults to 0.
        **kwargs: ``batch_size``, ``num_workers`` and ``on_corrupt`` of :class:`ImageDataModule`.

    Raises:
        InputError: If ``subset`` is out of range.
    """

    name = "imagenet"
    title = "ImageNet (ILSVRC 2012)"
    address = "https://image-net.org/challenges/LSVRC/2012/2012-downloads.php"
    tree = (
        "  val/n01440764/ILSVRC2012_val_00000293.JPEG  (class folders), or\n"
        "  val/ILSVRC2012_val_00000001.JPEG  (one folder) with\n"
        "  ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt and meta.mat"
    )
    expected_images = 50000
    classnames = NAMES
    synsets = SYNSETS

    def __init__(
        self,
        root: str | Path,
        download: bool = False,
        subset: int | None = 2000,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(root, download, **kwargs)
        if subset is not None and not 1 <= subset <= self.expected_images:
            raise InputError(
                f"Expected argument `subset` from 1 to {self.expected_images}, or None for "
                f"all images, but got {subset}."
            )
        self.subset, self.seed = subset, seed

    def read(self) -> PublishedImages:
        rows = self.rows()
        self.check_count(len(rows))
        return self.chosen(rows)

    def rows(self) -> list[tuple[Path, int]]:
        """File and label of every validation image, by file name.

        Raises:
            InputError: If there are none, or their labels are not known.
        """
        folder = self.root / "val" if (self.root / "val").is_dir() else self.root
        return sorted(
            self._from_class_folders(folder) or self._from_one_folder(folder),
            key=lambda row: row[0].name,
        )

    def chosen(self, rows: Sequence[tuple[Path, int]]) -> PublishedImages:
        """The images of the subset of :meth:`rows`, with file names as keys."""
        names, labels = [file.name for file, _ in rows], [label for _, label in rows]
        size = len(rows) if self.subset is None else self.subset
        chosen = balanced_subset(names, labels, size, self.seed)
        return PublishedImages(
            [rows[i][0] for i in chosen], [labels[i] for i in chosen], [names[i] for i in chosen]
        )

    def _from_class_folders(self, folder: Path) -> list[tuple[Path, int]]:
        return [
            (file, label)
            for synset, label in LABEL_OF.items()
            for file in image_files(folder / synset)
        ]

    def _from_one_folder(self, folder: Path) -> list[tuple[Path, int]]:
        entries = folder.iterdir() if folder.is_dir() else ()
        numbers = {file: match for file in entries if (match := NUMBER.fullmatch(file.name))}
        if not numbers:
            raise self.missing(f"no validation images in {folder}")
        labels = self._ground_truth()
        outside = [file for file, match in numbers.items() if not 0 < int(match[1]) <= len(labels)]
        if outside:
            raise InputError(
                f"Expected a line for every image in the ground truth below {self.root / DEVKIT}, "
                f"but got {len(labels)} lines and {outside[0].name}. Fetch the development kit "
                f"anew from {self.address}."
            )
        return [(file, labels[int(match[1]) - 1]) for file, match in numbers.items()]

    def _ground_truth(self) -> list[int]:
        """Label of each validation image, in the order of their numbers."""
        truth = self.root / DEVKIT / "ILSVRC2012_validation_ground_truth.txt"
        meta = self.root / DEVKIT / "meta.mat"
        absent = [file for file in (truth, meta) if not file.is_file()]
        if absent:
            raise self.missing(f"images in one folder without {absent[0]}")
        try:
            synsets = loadmat(meta, squeeze_me=True)["synsets"]
            synset_of = dict(zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True))
            return [LABEL_OF[synset_of[int(line)]] for line in truth.read_text().split()]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"Expected ILSVRC ids of known synsets in {truth} and {meta}, but got "
                f"{type(error).__name__}: {error}. Fetch the development kit anew from "
                f"{self.address}."
            ) from error
