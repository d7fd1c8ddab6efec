"""Plan: which images are generated, each with its seed, whatever the batches and processes."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from diffclf_lightning.candidates import Condition
from diffclf_lightning.datamodules.names import folder_name
from diffclf_lightning.errors import InputError


@dataclass(frozen=True)
class PlannedImage:
    """An image to generate.

    Args:
        file: Where it belongs, relative to the tree.
        classname: Its class.
        condition: What the model is told: a prompt, or a class id.
        number: Its number within the class.
        seed: Seed of its noise.
    """

    file: str
    classname: str
    condition: Condition
    number: int
    seed: int

    def told(self) -> dict[str, Any]:
        """What the index says of it."""
        return {
            "file": self.file,
            "class": self.classname,
            "prompt" if isinstance(self.condition, str) else "class_id": self.condition,
            "number": self.number,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Plan:
    """As many images of each class, of its conditions in turn.

    The seed of an image is a hash of ``seed``, the name of the class and the number of the image:
    more images or other classes change none of those that there are.

    Args:
        classnames: Names of the classes.
        conditions: What the model may be told of each class: prompts, or a class id.
        images: Images of each class.
        seed: Seed of all.
        numbered: Whether folders begin with the number of the class, so that their order is that
            of the classes, and classes may have the same name.

    Raises:
        InputError: If a number is out of range, or two classes would have one folder.

    Example:
        >>> plan = Plan(["cat", "dog"], [["a cat"], ["a dog"]], images=2)
        >>> [image.file for image in plan]
        ['cat/00000.png', 'dog/00000.png', 'cat/00001.png', 'dog/00001.png']
    """

    classnames: Sequence[str]
    conditions: Sequence[Sequence[Condition]]
    images: int = 100
    seed: int = 0
    numbered: bool = False

    def __post_init__(self) -> None:
        if self.images < 1:
            raise InputError(f"Expected --images to be at least 1, but got {self.images}.")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"Expected --seed from 0 to 2**63 - 1, but got {self.seed}.")
        folders = [folder.casefold() for folder in self.folders]
        twice = [n for n, f in zip(self.classnames, folders, strict=True) if folders.count(f) > 1]
        if twice:
            raise InputError(
                f"Expected classes of different names, but got {twice[0]!r} and {twice[1]!r}. Give "
                "--numbered, and train with --model.classes_by_position true."
            )

    @property
    def folders(self) -> list[str]:
        """Names of the folders, by class."""
        names = [folder_name(name) for name in self.classnames]
        if not self.numbered:
            return names
        digits = max(4, len(str(len(names))))
        return [f"{number:0{digits}} {name}" for number, name in enumerate(names)]

    def __len__(self) -> int:
        return self.images * len(self.classnames)

    def __iter__(self) -> Iterator[PlannedImage]:
        folders = self.folders
        for number in range(self.images):
            for label, name in enumerate(self.classnames):
                told = self.conditions[label]
                yield PlannedImage(
                    f"{folders[label]}/{number:05}.png",
                    name,
                    told[number % len(told)],
                    number,
                    self._seed_of(name, label, number),
                )

    def batches(self, size: int, part: int = 1, parts: int = 1) -> list[list[PlannedImage]]:
        """The images of one of several parts in batches.

        Which images a part has is not a matter of batches: parts of one number of parts have all.

        Args:
            size: Images of a batch.
            part: Number of the part, from 1.
            parts: Number of parts.

        Raises:
            InputError: If a number is out of range.
        """
        if size < 1:
            raise InputError(f"Expected --batch-size to be at least 1, but got {size}.")
        if not 1 <= part <= parts:
            raise InputError(
                f"Expected --part to be from 1/{parts} to {parts}/{parts}, but got {part}/{parts}."
            )
        own = list(self)[part - 1 :: parts]
        return [own[start : start + size] for start in range(0, len(own), size)]

    def _seed_of(self, name: str, label: int, number: int) -> int:
        named = f"{self.seed}/{label if self.numbered else ''}/{name}/{number}"
        digest = hashlib.blake2b(named.encode(), digest_size=8).digest()
        return int.from_bytes(digest) >> 1  # generators take 63 bits
