"""Arguments of objects as plain values, which a checkpoint holds so that nothing else is needed.

An object is written as a configuration names it, ``{"class_path": ..., "init_args": {...}}``: by
its attributes of the names of its constructor's arguments. One that is more than that says by a
method ``stored_form`` how it is to be written.
"""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffclf_lightning.errors import InputError

COLLECTED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class NotPlainError(TypeError):
    """A value that cannot be written as plain values."""


def given_arguments(made: type, args: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a constructor by name.

    Args:
        made: The class.
        args: What its constructor gets by position.
        keywords: What it gets by name.

    Returns:
        The arguments; those that the constructor would refuse are left to it.
    """
    signature = inspect.signature(made.__init__)  # type: ignore[misc]
    try:
        _, *bound = signature.bind_partial(None, *args, **keywords).arguments.items()
    except TypeError:
        return dict(keywords)
    named = dict(bound)
    for parameter in signature.parameters.values():
        if parameter.kind == inspect.Parameter.VAR_KEYWORD:
            named |= named.pop(parameter.name, {})
    return named


def plain(value: Any) -> Any:
    """A value as numbers, strings, lists and dictionaries.

    Args:
        value: The value, or an object that keeps its arguments under their own names.

    Raises:
        NotPlainError: If it is something else.

    Example:
        >>> from diffclf_lightning.evaluation import Full
        >>> plain(Full(250))["init_args"]
        {'trials': 250}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "stored_form"):
        return value.stored_form()
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [plain(entry) for entry in value]
    return _object(value)


def _object(value: Any) -> dict[str, Any]:
    kind = type(value)
    try:
        parameters = list(inspect.signature(kind).parameters.values())
    except ValueError as error:  # of classes written in C
        raise NotPlainError(kind.__name__) from error
    names = [parameter.name for parameter in parameters]
    importable = "<" not in kind.__qualname__ and kind.__module__ not in ("__main__", "builtins")
    if (
        not importable
        or any(parameter.kind in COLLECTED for parameter in parameters)
        or not all(hasattr(value, name) for name in names)
    ):
        raise NotPlainError(kind.__name__)
    return {
        "class_path": f"{kind.__module__}.{kind.__qualname__}",
        "init_args": {name: plain(getattr(value, name)) for name in names},
    }


def check_given(not_stored: Mapping[str, str], given: Mapping[str, Any]) -> None:
    """Say which arguments a checkpoint does not hold.

    Args:
        not_stored: What could not be written, by the name of the argument.
        given: Arguments that there are.

    Raises:
        InputError: If one is missing.
    """
    missing = {name: kind for name, kind in not_stored.items() if name not in given}
    if missing:
        name, kind = next(iter(missing.items()))
        wanted = ", ".join(f"{other}=..." for other in missing)
        raise InputError(
            f"Expected argument `{name}` to be given, since the checkpoint does not hold the "
            f"{kind} that the model was made with, but got none. Give it again: "
            f"load_from_checkpoint(path, {wanted})."
        )
