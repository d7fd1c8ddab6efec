"""What the entries of a calibration have to be: such a file may have been written by hand."""

from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from diffclf_lightning.errors import InputError


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_number, value))


def _by_name(value: Any, each: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(each, value.values()))


FORMS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "temperature": ("a number above 0", _positive),
    "score": ("a name", _text),
    "images": ("a whole number", _whole),
    "level": ("a number above 0", _positive),
    "race": ("a text", _text),
    "shortlist": ("a text", _text),
    "bias": ("a number by name of each candidate", lambda value: _by_name(value, _number)),
    "keep": ("a whole number", _whole),
    "density": ("a list of numbers", _numbers),
    "loss": ("a name", _text),
    "weights": ("a list of numbers", _numbers),
    "biased": ("a name", _text),
    "part_bias": (
        "a list of numbers by name of each candidate",
        lambda value: _by_name(value, _numbers),
    ),
    "model": ("a text", _text),
}
"""By entry what it is, and whether a value is that."""
NEEDED = ("score", "images")
"""Entries that are never null."""


def check_entries(content: Mapping[str, Any], file: Path) -> None:
    """Refuse values that are of another form.

    Args:
        content: The entries.
        file: Their file, for messages.

    Raises:
        InputError: If one is.
    """
    for name, (form, fits) in FORMS.items():
        value = content.get(name)
        null = value is None and name not in NEEDED
        if not null and not fits(value):
            raise InputError(
                f"Expected {name!r} in {str(file)!r} to be {form}, but got {value!r}. Make the "
                "file anew with `diffclf calibrate RUN`."
            )
