"""Checks of a test set before its first image is evaluated."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

from diffclf_lightning.datamodules.base import ImageSet, OnCorrupt
from diffclf_lightning.datamodules.sets import FileImages, damaged_files, missing_files
from diffclf_lightning.errors import InputError


def chosen_sets(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """The test sets that a user names, which are all of them for ``["all"]``.

    Raises:
        InputError: If ``names`` is no list, or a name is unknown or stands twice.
    """
    if isinstance(names, str) or names is None:
        raise InputError(
            f"Expected argument `test_sets` to be a list, but got {names!r}. Put it in brackets."
        )
    chosen = list(known if list(names) == ["all"] else names)
    wrong = [name for name in chosen if name not in known]
    wrong += [f"{name} twice" for name in known if chosen.count(name) > 1]
    if wrong or not chosen:
        raise InputError(
            f"Expected argument `test_sets` to name some of {', '.join(known)}, each once, or all "
            f"alone, but got {', '.join(wrong) or 'nothing'}."
        )
    return chosen


def checked(images: ImageSet, name: str, root: Path, on_corrupt: OnCorrupt) -> ImageSet:
    """Check the set of a name that was read from ``root``.

    With ``on_corrupt`` set to ``"skip"``, files that cannot be read are not an error.

    Returns:
        The same set.

    Raises:
        InputError: If there are no images, a key is repeated, or files are missing or damaged.
    """
    if not len(images):
        raise InputError(
            f"Expected images of {name!r} below `root`={str(root)!r}, but got none. "
            "Check that the folder is the right one and is not empty."
        )
    key, count = Counter(images.keys).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"Expected each image of {name!r} once, under its published name, but got {key} "
            f"{count} times below `root`={str(root)!r}. Remove the copies."
        )
    files = images.files if isinstance(images, FileImages) else []
    missing = missing_files(files)
    if missing:
        raise InputError(
            f"Expected the {len(files)} images of {name!r} below `root`={str(root)!r}, but "
            f"{len(missing)} of them are missing, the first being {files[missing[0]]}. Complete "
            "the folder."
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
    """Warn if a copy of a set below ``root`` has not the expected number of images.

    Args:
        title: Name of the set in the warning.
        images: Number of images in the copy.
        expected: Number of images in the published set.
        root: Folder that it was read from.
        detail: What is known of the missing images.
    """
    if images != expected:
        rank_zero_warn(
            f"Expected the {expected} test images of {title}, but got {images} below `root`="
            f"{str(root)!r}{f' ({detail})' if detail else ''}. Results are not those of the "
            "published test set."
        )
