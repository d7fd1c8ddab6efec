"""What is checked of a set before the first of its images is evaluated."""

from collections import Counter
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

from diffclf_lightning.datamodules.base import ImageSet, OnCorrupt
from diffclf_lightning.datamodules.sets import FileImages, damaged_files, missing_files
from diffclf_lightning.errors import InputError


def checked(images: ImageSet, name: str, root: Path, on_corrupt: OnCorrupt) -> ImageSet:
    """The set, once it is known that it has images and that they can be read.

    Args:
        images: The set.
        name: Its name.
        root: Folder that it was read from.
        on_corrupt: With ``skip``, files that cannot be read are no error.

    Returns:
        The same set.

    Raises:
        InputError: If there are no images, or files are missing or damaged.
    """
    if not len(images):
        raise InputError(
            f"Expected images of {name!r} below `root`={str(root)!r}, but got none. "
            "Check that the folder is the right one and is not empty."
        )
    keys = images.keys or []
    if len(set(keys)) < len(keys):
        repeated = next(key for key, count in Counter(keys).items() if count > 1)
        raise InputError(
            f"Expected images of {name!r} of different names, but got {repeated} "
            f"{Counter(keys)[repeated]} times below `root`={str(root)!r}. Each image has to be "
            "there once, under its published name."
        )
    files = images.files if isinstance(images, FileImages) else []
    missing = missing_files(files)
    if missing:
        raise InputError(
            f"Expected the {len(files)} images of {name!r} below `root`="
            f"{str(root)!r}, but {len(missing)} of them are missing, the first being "
            f"{files[missing[0]]}. Complete the folder."
        )
    damaged = damaged_files(files) if on_corrupt == "stop" else []
    if damaged:
        raise InputError(
            f"Expected {len(files)} images of {name!r} that can be read, but "
            f"{len(damaged)} cannot, the first being {files[damaged[0]]}. Replace them, or give "
            "on_corrupt='skip' to leave such images out."
        )
    return images


def check_count(title: str, images: int, expected: int, root: Path, detail: str = "") -> None:
    """Warn if a copy of a set is not the whole.

    Args:
        title: What the set is called.
        images: Number of its images.
        expected: Number of images in the published set.
        root: Folder that it was read from.
        detail: What is known of the images that are not there.
    """
    if images != expected:
        rank_zero_warn(
            f"Expected the {expected} test images of {title}, but got {images} below `root`="
            f"{str(root)!r}{f' ({detail})' if detail else ''}. Results are not those of the "
            "published test set."
        )
