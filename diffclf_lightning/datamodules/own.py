"""What data modules of a user's own images share: splits, held-out shares, loaders."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch.utils.data import DataLoader

from diffclf_lightning.datamodules.augmentation import Augmentation
from diffclf_lightning.datamodules.base import ImageDataModule, ImageSet
from diffclf_lightning.datamodules.checks import checked
from diffclf_lightning.datamodules.sets import FileImages, image_shape
from diffclf_lightning.datamodules.single import Metric
from diffclf_lightning.datamodules.splits import seeded_splits
from diffclf_lightning.datamodules.subset import balanced_order, few_shot
from diffclf_lightning.errors import InputError
from diffclf_lightning.images import colour_of
from diffclf_lightning.paths import path_of

WHOLE = "whole"
"""The part that images without a split make."""
VAL_SHARE = 0.1
"""Share that ``fit`` holds out where nothing says another."""
PART_OF_STAGE = {"validate": "val", "test": "test", "predict": "test"}


@dataclass(frozen=True)
class OwnImage:
    """One image of a user's own.

    Args:
        file: The file.
        key: A name that is the same in every run.
        label: Its label, or None if it is not known.
        split: ``"train"``, ``"val"``, ``"test"``, or None without splits.
        set_name: Name of the test set that it belongs to. Defaults to None: the only one.
    """

    file: Path
    key: str
    label: int | None
    split: str | None = None
    set_name: str | None = None


class OwnImages(ImageDataModule):
    """Base of the data modules of a user's own images, for ``fit``, ``validate`` and ``test``.

    ``fit`` trains on ``train`` and validates on ``val``, ``validate`` uses ``val``, ``test`` and
    ``predict`` use ``test``. Images without splits are all used by ``validate``, ``test`` and
    ``predict``; ``fit`` holds out a tenth of them.

    Args:
        root: The folder that the images lie in.
        name: Name of the test set.
        classnames: Class names in the order of labels. Defaults to None: those of the data.
        metric: The metric to report first, ``"accuracy"`` or ``"mean_per_class_accuracy"``.
            Defaults to ``"accuracy"``.
        val_share: Share of each class to hold out for ``val``, of the images to train on, where the
            data has no such split; 0 for none. Defaults to None: a tenth in ``fit``.
        test_share: The same for ``test``. Defaults to None: none.
        seed: Chooses the images that are held out. Defaults to 0.
        augment: Random changes of the images to train on. Defaults to None: none.
        background: Colour behind transparent pixels, by name or as ``#rrggbb``. Defaults to white.
        shots: Number of images of each class that ``fit`` trains on, chosen by ``seed`` from those
            that are not held out. Defaults to None: all.
        **kwargs: ``batch_size``, ``num_workers`` and ``on_corrupt`` of :class:`ImageDataModule`.

    Raises:
        InputError: If an argument is out of range.
    """

    name: str
    """Name of the test set."""

    def __init__(
        self,
        root: str | Path,
        name: str,
        classnames: Sequence[str] | None = None,
        metric: Metric = "accuracy",
        val_share: float | None = None,
        test_share: float | None = None,
        seed: int = 0,
        augment: Augmentation | None = None,
        background: str = "white",
        shots: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not str(root).strip():
            raise InputError("Expected argument `root` to be a folder, but got an empty text.")
        self.root = path_of(root)
        self.name, self.metric, self.seed = name, metric, seed
        self.val_share, self.test_share = val_share, test_share
        self.augment, self.background, self.shots = augment, background, shots
        colour_of(background)
        for argument, share in (("val_share", val_share), ("test_share", test_share)):
            if share is not None and not 0 <= share < 1:
                raise InputError(f"Expected argument `{argument}` in [0, 1), but got {share}.")
        if (val_share or 0) + (test_share or 0) >= 1:
            raise InputError(
                "Expected `val_share` and `test_share` to leave images to train on, but got "
                f"{val_share} and {test_share}. Lower one of them."
            )
        self._given = classnames
        self._stage: str | None = None
        self._parts: dict[str, list[OwnImage]] = {}
        self._sets: dict[tuple[str, str], ImageSet] = {}
        self._fitted = False

    @property
    def unlabelled(self) -> str:
        """What messages say is there instead of labels."""
        return "images without labels"

    @cached_property
    def images(self) -> list[OwnImage]:
        """What :meth:`read` gives."""
        return self.read()

    @abstractmethod
    def read(self) -> list[OwnImage]:
        """All images, unopened.

        Raises:
            InputError: If the data is not there, or not what it has to be.
        """

    def setup(self, stage: str = "test") -> None:
        """Find the images that a stage needs, and check them; none is decoded.

        Args:
            stage: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``.

        Raises:
            InputError: If images, labels or a split are missing.
        """
        stage = TrainerFn(stage).value
        if stage != "predict" and any(image.label is None for image in self.images):
            raise InputError(
                f"Expected labelled images for `{stage}`, but got {self.unlabelled}. Use "
                "`predict`, or an ImageFolder or ImageCSV with labels."
            )
        self._parts, self._sets, self._stage = self._divided(stage), {}, stage
        if stage in ("test", "validate") and self._fitted and WHOLE in self._parts:
            rank_zero_warn(
                f"`{stage}` counts all images of {self.root}, among them those of the training. "
                "Hold some out with `val_share` and `test_share`, or give a folder of its own."
            )
        if stage == "fit":
            self._fitted = True
            self.training_images()
        if stage in ("fit", "validate"):
            self.val_dataloader()
        else:
            self.test_sets()

    def part(self, split: str) -> list[OwnImage]:
        """The images of a split.

        Args:
            split: ``"train"``, ``"val"`` or ``"test"``.

        Raises:
            InputError: If there are none.
        """
        images = self._parts.get(split) or self._parts.get(WHOLE)
        if not images:
            remedy = "" if split == "train" else f", hold out a share with `{split}_share`"
            raise InputError(
                f"Expected a split {split!r} of the images in {self.root}, but got "
                f"{' and '.join(self._parts)} alone. Add it{remedy}, or give the folder or table "
                "of one split, whose images are all used."
            )
        return images

    def image_set(self, split: str, name: str, images: Sequence[OwnImage]) -> ImageSet:
        """Some images of a split as a set, checked once.

        Raises:
            InputError: If images are missing or damaged.
        """
        if (split, name) not in self._sets:
            labels = [image.label for image in images if image.label is not None]
            files, keys = [image.file for image in images], [image.key for image in images]
            found = FileImages(files, labels or None, keys, background=self.background)
            self._sets[split, name] = checked(found, name, self.root, self.on_corrupt)
            if split in self._parts:
                self._say_absent(split, labels)
        return self._sets[split, name]

    def test_sets(self) -> dict[str, ImageSet]:
        self._ready("test", "predict")
        by_name: dict[str, list[OwnImage]] = {}
        for image in self.part("test"):
            by_name.setdefault(image.set_name or self.name, []).append(image)
        return {name: self.image_set("test", name, found) for name, found in by_name.items()}

    def predict_dataloader(self) -> dict[str, DataLoader[Any]]:
        self._ready("predict", "test")
        return self.test_dataloader()

    def val_dataloader(self) -> Any:
        """A loader of the images to validate on; none where ``fit`` is to hold out none.

        Their order mixes the classes, so that its first batches are of all (``limit_val_batches``).
        """
        self._ready("validate", "fit")
        if self._stage == "fit" and "val" not in self._parts:
            return []
        images = self.part("val")
        labels = [-1 if image.label is None else image.label for image in images]
        order = balanced_order([image.key for image in images], labels)
        return self.loader(self.image_set("val", "val", [images[place] for place in order]))

    def training_images(self) -> ImageSet:
        """The images to train on, as one set."""
        self._ready("fit")
        return self.image_set("train", "train", self.part("train"))

    def train_dataloader(self) -> DataLoader[Any]:
        """A loader of the images to train on, shuffled; drops a last, smaller batch."""
        images = self.training_images()
        collate = {} if self.augment is None else {"collate_fn": self.augment.collate}
        drop = len(images) > self.batch_size
        return self.loader(images, shuffle=True, drop_last=drop, **collate)

    def image_shape(self) -> tuple[int, int]:
        """Channels and side of the images to train on, or of all, by a sample of them.

        Returns:
            1 if all are grey and 3 if not, and the median of the short sides in pixels.

        Raises:
            InputError: If none can be read.
        """
        self._ready("fit", "validate", "test", "predict")
        split = "train" if "train" in self._parts else "test"
        return image_shape(self.image_set(split, split, self.part(split)))

    def _ready(self, *stages: str) -> None:
        """Set up for the first of some stages, unless one of them is set up already."""
        if self._stage not in stages:
            self.prepare_data()
            self.setup(stages[0])

    def _divided(self, stage: str) -> dict[str, list[OwnImage]]:
        """The images by split, with the shares held out that a stage asks for."""
        parts: dict[str, list[OwnImage]] = {}
        for image in self.images:
            parts.setdefault(image.split or WHOLE, []).append(image)
        val, test = self._share("val", parts, stage), self._share("test", parts, stage)
        pool = parts.get(WHOLE) or parts.get("train", [])
        if (val or test) and pool and pool[0].label is not None:
            del parts[WHOLE if WHOLE in parts else "train"]
            names = [image.key for image in pool]
            labels = [image.label or 0 for image in pool]
            splits = seeded_splits(names, labels, val, test, self.seed)
            for image, split in zip(pool, splits, strict=True):
                parts.setdefault(split, []).append(image)
        if stage == "fit" and WHOLE in parts:
            parts["train"] = parts.pop(WHOLE)
        if stage == "fit" and self.shots is not None and "train" in parts:
            parts["train"] = self._few(parts["train"], self.shots)
        return parts

    def _few(self, images: list[OwnImage], shots: int) -> list[OwnImage]:
        labels = [image.label or 0 for image in images]
        chosen = few_shot([image.key for image in images], labels, shots, self.seed)
        return [images[place] for place in chosen]

    def _share(self, split: str, parts: dict[str, list[OwnImage]], stage: str) -> float:
        """The share to hold out for a split; says what is assumed or of no effect."""
        given = self.val_share if split == "val" else self.test_share
        if split in parts:
            if given:
                rank_zero_info(f"`{split}_share` has no effect: {self.root} has a split {split!r}.")
            return 0.0
        fitting = stage == "fit" or (stage == "validate" and self._fitted)
        if split != "val" or given is not None or not fitting:
            return given or 0.0
        if stage == "fit":
            rank_zero_info(
                f"{self.root} has no images to validate on: {VAL_SHARE:.0%} of each class is held "
                f"out. `val_share={VAL_SHARE}` names the same images elsewhere."
            )
        return VAL_SHARE

    def _say_absent(self, split: str, labels: Sequence[int]) -> None:
        known = {image.label for image in self.images if image.label is not None}
        absent = sorted(known - set(labels))
        if absent:
            names = ", ".join(repr(self.classnames[label]) for label in absent[:5])
            rank_zero_warn(
                f"No images of {len(absent)} of the {len(known)} classes are in the split "
                f"{split!r} of {self.root}: {names}{' and more' if len(absent) > 5 else ''}."
            )
