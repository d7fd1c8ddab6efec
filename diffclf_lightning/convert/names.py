"""Class names of converted weights, which hold none themselves."""

from collections.abc import Sequence

from diffclf_lightning.classnames import imagenet_classes
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import file_named

IMAGENET = 1000
"""Number of classes that are taken for ImageNet's."""


def names_of(given: Sequence[str] | None) -> list[str] | None:
    """Class names that were typed, one by one, with commas, or as a file with one a line.

    Args:
        given: What was typed after ``--names``, or None.

    Raises:
        InputError: If one is empty, or the file holds no text.
    """
    if given is None:
        return None
    file = file_named(given[0]) if len(given) == 1 else None
    if file is not None:
        try:
            parts = file.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(
                f"Expected --names to be names, or a file with one a line, but {str(file)!r} is no "
                "text in UTF-8."
            ) from error
    else:
        parts = given[0].split(",") if len(given) == 1 else list(given)
    names = [part.strip() for part in parts]
    if "" in names:
        raise InputError(
            f"Expected --names to be names, but number {names.index('') + 1} is empty."
        )
    return names


def num_classes_of(names: Sequence[str] | None, rows: int) -> int:
    """Number of classes of weights that embed classes, and mostly "no class" behind them.

    Args:
        names: Their names, or None.
        rows: Rows of the embedding.

    Raises:
        InputError: If there are more or fewer names.
    """
    if names is None:
        return IMAGENET if rows == IMAGENET else rows - 1
    if len(names) not in (rows, rows - 1):
        raise InputError(
            f"Expected --names to be {rows - 1} names, one a class, since the weights embed so "
            f'many and "no class" ({rows} where they do not), but got {len(names)}.'
        )
    return len(names)


def id2label_of(names: Sequence[str] | None, count: int) -> dict[int, str] | None:
    """Names by class id: those given, else ImageNet's where there are 1000 classes, else None."""
    if names is None and count == IMAGENET:
        names = [name for _, name in imagenet_classes()]
    return dict(enumerate(names)) if names else None
