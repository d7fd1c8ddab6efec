"""ImageFolder: a user's own images, in one folder a class."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from diffclf_lightning.classnames import with_nearest
from diffclf_lightning.datamodules.names import for_prompt
from diffclf_lightning.datamodules.own import OwnImage, OwnImages
from diffclf_lightning.datamodules.sets import (
    SUFFIXES,
    image_files,
    is_image,
    relative_keys,
    say_left_out,
)
from diffclf_lightning.datamodules.splits import split_of
from diffclf_lightning.errors import InputError


class ImageFolder(OwnImages):
    """A folder with one folder of images for each class; labels follow the sorted folder names.

    Where the folders of ``root`` are named ``train``, ``val`` (or ``valid``, ``validation``) and
    ``test``, these are the splits, each with class folders; the classes are those of ``train``.

    Args:
        root: The folder; ``~`` is expanded.
        name: Name of the test set. Defaults to ``"folder"``.
        classnames: Class names in the order of the sorted folders. Defaults to None: the folder
            names, with spaces for underscores.
        **kwargs: ``metric``, ``val_share``, ``test_share``, ``seed``, ``augment``,
            ``background`` and ``shots`` of :class:`OwnImages`; ``batch_size``, ``num_workers`` and
            ``on_corrupt`` of :class:`ImageDataModule`.
    """

    argument = "root"
    """What messages call the argument that names the folder."""

    def __init__(
        self,
        root: str | Path,
        name: str = "folder",
        classnames: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(root, name, classnames, **kwargs)

    @cached_property
    def splits(self) -> dict[str, Path]:
        """The folders of splits, by split; none where the folders are classes.

        Raises:
            InputError: If the folders may be either, or two are the same split.
        """
        folders = _folders(self.root)
        named = [(split, f) for f in folders if (split := split_of(f.name)) is not None]
        others = [folder.name for folder in folders if split_of(folder.name) is None]
        flat = [_has_images(folder) or not _folders(folder) for _, folder in named]
        if others and all(flat):  # a class may be called so
            return {}
        if (named and others) or len(dict(named)) < len(named):
            raise InputError(
                f"Expected the folders of {self.root} to be classes, or splits (train, val, test), "
                f"each once, but got {', '.join(folder.name for _, folder in named)}"
                f"{' beside ' + ', '.join(others[:5]) if others else ''}. Move the others "
                "elsewhere, or give the folder of one split."
            )
        return dict(sorted(named))

    @cached_property
    def folders(self) -> list[str]:
        """Names of the class folders, sorted, of ``train`` where there is such a split.

        Raises:
            InputError: If there are none.
        """
        splits = self.splits
        above = [splits["train"]] if "train" in splits else [*splits.values()] or [self.root]
        folders = sorted({folder.name for root in above for folder in _folders(root)})
        if not folders:
            found, instead = "is empty or missing", ""
            if self.root.is_dir() and any(self.root.iterdir()):
                found = "has none"
            if self.root.is_dir() and _has_images(self.root):
                found, instead = "has none, but images", " For `predict`, ImageFiles takes them."
            raise InputError(
                f"Expected argument `{self.argument}` to be a folder with one folder of images for "
                f"each class, but got {str(self.root)!r}, which {found}. Give the folder above the "
                f"class folders.{instead}"
            )
        return folders

    @cached_property
    def classnames(self) -> Sequence[str]:  # type: ignore[override]
        """Class names in the order of labels.

        Raises:
            InputError: If there are not as many names as class folders.
        """
        if self._given is None:
            return tuple(for_prompt(folder) for folder in self.folders)
        if len(self._given) != len(self.folders):
            raise InputError(
                f"Expected one name for each class folder in argument `classnames`, but got "
                f"{len(self._given)} names for {len(self.folders)} labels (the folders of "
                f"{str(self.root)!r}). Give the names in the order of the sorted folders."
            )
        return tuple(self._given)

    def read(self) -> list[OwnImage]:
        left_out: Counter[str] = Counter()
        label_of = dict(zip(self.folders, range(len(self.classnames)), strict=True))
        images: list[OwnImage] = []
        for split, above in self.splits.items() or ((None, self.root),):
            beside = sum(is_image(file) for file in above.iterdir())
            left_out += Counter({"images beside the class folders": beside})
            for folder in _folders(above):
                if folder.name not in label_of:
                    raise InputError(
                        f"Expected the class folders of {above} to be among the {len(label_of)} of "
                        f"'train', but got {with_nearest([folder.name], label_of)}. Rename "
                        "the folder, or add the class to 'train'."
                    )
                files = image_files(folder, left_out)
                if not files:
                    raise InputError(
                        f"Expected images ({', '.join(SUFFIXES)}) in class folder {folder}, but "
                        "got none. Add images, or remove the folder."
                    )
                keys = relative_keys(files, self.root)
                images += [
                    OwnImage(file, key, label_of[folder.name], split)
                    for file, key in zip(files, keys, strict=True)
                ]
        say_left_out(left_out, self.root)
        return images


def _folders(root: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones."""
    entries = sorted(root.iterdir()) if root.is_dir() else []
    return [entry for entry in entries if entry.is_dir() and entry.name[0] != "."]


def _has_images(folder: Path) -> bool:
    """Whether images lie directly in a folder."""
    return any(is_image(file) for file in folder.iterdir())
