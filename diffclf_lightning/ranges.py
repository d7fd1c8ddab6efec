"""Numbers that arguments may be: NaN passes many comparisons unnoticed."""

from math import inf, isfinite
from operator import index
from typing import Any

from diffclf_lightning.errors import InputError


def check_number(
    name: str,
    value: float,
    *,
    above: float = -inf,
    least: float = -inf,
    most: float = inf,
    below: float = inf,
) -> None:
    """Refuse a number that is not finite, or out of range.

    Args:
        name: The argument, as the user typed it; with two hyphens a flag.
        value: Its value.
        above: What it has to be above.
        least: The least that it may be.
        most: The most that it may be.
        below: What it has to be below.

    Raises:
        InputError: If it is.

    Example:
        >>> check_number("rate", float("nan"))
        Traceback (most recent call last):
        diffclf_lightning.errors.InputError: Expected argument `rate` finite, but got nan.
    """
    if isfinite(value) and value > above and least <= value <= most and value < below:
        return
    limits = [
        f"{word} {limit:g}"
        for word, limit in (
            ("above", above),
            ("at least", least),
            ("below", below),
            ("at most", most),
        )
        if isfinite(limit)
    ]
    if isfinite(most) + isfinite(below) == 0:
        limits.append("finite")
    argument = name if name.startswith("--") else f"argument `{name}`"
    raise InputError(f"Expected {argument} {' and '.join(limits)}, but got {value}.")


def check_whole(name: str, value: Any, least: float = -inf) -> None:
    """Refuse what is no whole number, or too small.

    Args:
        name: The argument.
        value: Its value.
        least: The least that it may be. Defaults to none.

    Raises:
        InputError: If it is.

    Example:
        >>> check_whole("trials", 2.5)
        Traceback (most recent call last):
        diffclf_lightning.errors.InputError: Expected argument `trials` to be a whole number, but \
got 2.5.
    """
    try:
        number = index(value)
    except TypeError as error:
        raise InputError(
            f"Expected argument `{name}` to be a whole number, but got {value!r}."
        ) from error
    if number < least:
        raise InputError(f"Expected argument `{name}` to be at least {least}, but got {value}.")
