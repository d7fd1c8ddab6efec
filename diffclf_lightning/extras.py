"""Extras: packages that only some features need."""

from importlib import import_module
from typing import Any

from diffclf_lightning.errors import InputError


def needed(module: str, extra: str) -> Any:
    """A module of a package that comes with an extra of this one.

    Args:
        module: Name of the module.
        extra: Name of the extra.

    Returns:
        The module.

    Raises:
        InputError: If it is not installed.

    Example:
        >>> needed("json", "figures").dumps([1])
        '[1]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise InputError(
            f"Expected the package {package!r} for this, but it is not installed. Install it with "
            f"pip install 'diffclf-lightning[{extra}]'."
        ) from error
