"""ImageCaptions: examples of images and captions of one's own, one a line of a file."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diffclf_lightning.datamodules.matching import Example, ExampleSet, MatchingSets
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of


class ImageCaptions(MatchingSets):
    """Examples of images and captions, of which the i-th belong together.

    Args:
        file: A file of JSON lines, each ``{"images": [paths], "captions": [texts], "tag": text,
            "key": text}``; ``tag`` and ``key`` may be left out. There may be more captions than
            images, or more images than captions: the further ones belong to nothing.
        root: Folder that the paths are relative to. Defaults to None: that of the file.
        name: Name of the set. Defaults to None: that of the file.
        **kwargs: ``batch_size``, ``num_workers`` and ``on_corrupt`` of :class:`MatchingSets`.
    """

    def __init__(
        self,
        file: str | Path,
        root: str | Path | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.file = path_of(file)
        self.root = self.file.parent if root is None else path_of(root)
        self.name: str = name or self.file.stem

    def find(self) -> dict[str, ExampleSet]:
        examples = [
            Example(
                [self.root / path for path in texts(line, "images", self.file, number)],
                texts(line, "captions", self.file, number),
                text(line, "tag", self.file, number) or "",
                text(line, "key", self.file, number) or str(number),
            )
            for number, line in json_lines(self.file)
        ]
        return {self.name: ExampleSet(examples, published=False)}


def json_lines(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of a file of JSON lines.

    Args:
        file: The file.

    Yields:
        Number of a line, from 1, and what it holds.

    Raises:
        InputError: If the file cannot be read, or a line holds something else.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")  # and at no other separator
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"Expected a file of JSON lines in UTF-8, but got {str(file)!r} "
            f"({type(error).__name__}: {error})."
        ) from error
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError as error:
            raise InputError(
                f"Expected JSON in line {number} of {file}, but got {text[:80]!r} ({error})."
            ) from error
        if not isinstance(line, dict):
            raise InputError(
                f"Expected an object in line {number} of {file}, but got {text[:80]!r}."
            )
        yield number, line


def text(line: Mapping[str, Any], name: str, file: Path, number: int) -> str | None:
    """A text or a whole number in a line, or None where there is none.

    Args:
        line: What the line holds.
        name: Its name.
        file: The file, for messages.
        number: Number of the line, likewise.

    Raises:
        InputError: If it is something else.
    """
    found = line.get(name)
    if found is None or isinstance(found, str | int):
        return None if found is None else str(found)
    raise InputError(f"Expected a text `{name}` in line {number} of {file}, but got {found!r}.")


def texts(line: Mapping[str, Any], name: str, file: Path, number: int) -> list[str]:
    """A list of texts in a line.

    Args:
        line: What the line holds.
        name: Name of the list.
        file: The file, for messages.
        number: Number of the line, likewise.

    Raises:
        InputError: If it is something else, or it or a text is empty.
    """
    found = line.get(name)
    if isinstance(found, list) and found and all(isinstance(t, str) and t.strip() for t in found):
        return found
    raise InputError(
        f"Expected a list of texts that are not empty as `{name}` in line {number} of {file}, but "
        f"got {found!r}. A line is "
        '{"images": ["a.png", "b.png"], "captions": ["of a", "of b"], "tag": "Object"}.'
    )
