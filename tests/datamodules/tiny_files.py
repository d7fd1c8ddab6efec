"""What the writers of tiny data sets share.

Every image has one colour, so that a loader that mixes images up is found out. ``Tiny.truth`` says
for each key which label and colour belong to it.
"""

import hashlib
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image


@dataclass
class Tiny:
    """What was written."""

    module: type
    folder: str
    """Where the data set lies below the root."""
    truth: dict[str, tuple[int, tuple[int, int, int]]] = field(default_factory=dict)
    kwargs: dict[str, Any] = field(default_factory=dict)
    patches: list[tuple[str, str, Any]] = field(default_factory=list)
    """Torchvision class, attribute and value: the checksums of the tiny files."""
    split_file: str | None = None
    """A file without which the test split is not known."""
    suffix: str = ".jpg"
    candidate_labels: tuple[int, ...] | None = None
    """The labels that the set can hold, where they are not all."""
    groups: dict[int, list[int]] = field(default_factory=dict)
    """ImageNet classes of each label."""


def colour(rng: random.Random) -> tuple[int, int, int]:
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


def save(file: Path, rng: random.Random, size: tuple[int, int] = (24, 16)) -> tuple[int, int, int]:
    file.parent.mkdir(parents=True, exist_ok=True)
    chosen = colour(rng)
    Image.new("RGB", size, chosen).save(file, quality=95)
    return chosen


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()
