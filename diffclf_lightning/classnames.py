"""Class names: which class of a model a name of the data means.

Names are compared without regard to case, hyphens, underscores and leading zeros. A model of
ImageNet's 1000 classes also knows them by synset (``n01440764``), and any model by each of the
synonyms that its own name lists (``tench, Tinca tinca``).
"""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from diffclf_lightning.errors import InputError

IMAGENET = Path(__file__).parent / "datamodules" / "data" / "imagenet_classes.csv"
FEW = 5
"""Names that a message lists."""


@cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """Synset and name of ImageNet's 1000 classes, in their order."""
    lines = IMAGENET.read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return tuple((row["synset"], row["name"]) for row in rows)


def class_ids(
    names: Sequence[str],
    known: Sequence[str],
    owner: str = "the model",
    instead: str = "give classes_by_position=true if label i of the data is class i of the model",
) -> list[int]:
    """Which class of a model each name means.

    Args:
        names: Class names of the data.
        known: Class names of the model, in the order of its ids.
        owner: What knows these, for messages.
        instead: What else a user may do about a name that it does not know, for messages.

    Returns:
        An id for each name, all different.

    Raises:
        InputError: If a name means no class, several, or the same as another.

    Example:
        >>> class_ids(["Great_White_Shark", "tench"], ["tench, Tinca tinca", "great white shark"])
        [1, 0]
    """
    published = [list(column) for column in zip(*imagenet_classes(), strict=True)]
    if [*names] == [*known] or (list(names) in published and is_imagenet(known)):
        return list(range(len(known)))
    meanings = _meanings(known)
    found = [_meaning(name, meanings) for name in names]
    unknown = [name for name, ids in zip(names, found, strict=True) if not ids]
    if unknown:
        raise InputError(
            f"Expected every class name to be one of the {len(known)} that {owner} knows, but got "
            f"{with_nearest(unknown, known)}. Rename the classes (folders, table, or argument "
            f"`classnames` in the order of labels), or {instead}."
        )
    for name, ids in zip(names, found, strict=True):
        if len(ids) > 1:
            several = ", ".join(f"{known[i]!r} ({i})" for i in ids[:FEW])
            raise InputError(
                f"Expected every class name of the data to mean one class of {owner}, but "
                f"{name!r} means {several}. Give it the whole name there in `classnames`."
            )
    of_id: dict[int, str] = {}
    for name, (i, *_) in zip(names, found, strict=True):
        if i in of_id:
            raise InputError(
                f"Expected class names of the data that differ, but {of_id[i]!r} and {name!r} both "
                f"mean {known[i]!r} of {owner}. Put them under one name, or drop one."
            )
        of_id[i] = name
    return [ids[0] for ids in found]


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names that are spelled like one, nearest first."""
    by_form = {_form(text): text for text in known}
    return [by_form[form] for form in get_close_matches(_form(name), by_form, cutoff=0.5)]


def _form(name: str) -> str:
    words = name.replace("_", " ").replace("-", " ").casefold().split()
    return " ".join(word.lstrip("0") or "0" for word in words)


def _synonyms(name: str) -> list[str]:
    return [_form(part) for part in name.split(",")]


def _meanings(known: Sequence[str]) -> list[Mapping[str, list[int]]]:
    """Ids by what a class may be called, by its whole name first."""
    kinds: list[Callable[[int], list[str]]] = [lambda i: [_form(known[i])]]
    if is_imagenet(known):
        kinds.append(lambda i: [_form(text) for text in imagenet_classes()[i]])
    kinds.append(lambda i: _synonyms(known[i]))
    meanings: list[Mapping[str, list[int]]] = []
    for called in kinds:
        ids: dict[str, list[int]] = {}
        for i in range(len(known)):
            for form in dict.fromkeys(called(i)):
                ids.setdefault(form, []).append(i)
        meanings.append(ids)
    return meanings


def _meaning(name: str, meanings: Sequence[Mapping[str, list[int]]]) -> list[int]:
    """Ids that a name may mean: one where any kind of meaning settles it."""
    tried = [ids.get(_form(name), []) for ids in meanings]
    synonyms = [i for form in _synonyms(name) for i in meanings[-1].get(form, [])]
    tried.append(sorted(set(synonyms)))
    settled = [ids for ids in tried if len(ids) == 1]
    return (settled or [ids for ids in tried if ids] or [[]])[0]


def is_imagenet(known: Sequence[str]) -> bool:
    """Whether classes are ImageNet's in their order; wording differs from model to model."""
    classes = imagenet_classes()
    if len(known) != len(classes):
        return False
    alike = sum(
        _form(text) in _synonyms(given) or synset == given
        for given, (synset, text) in zip(known, classes, strict=True)
    )
    return alike > len(classes) / 2


def with_nearest(unknown: Sequence[str], known: Iterable[str]) -> str:
    """Unknown names as a message lists them, each with the known ones that are spelled like it."""
    said = []
    for name in unknown[:FEW]:
        close = ", ".join(map(repr, nearest(name, known)))
        said.append(f"{name!r} (nearest: {close or 'none'})")
    more = len(unknown) - FEW
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")
