"""Paths as they are typed, and names of files."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from diffclf_lightning.errors import InputError

MOST = 255
"""Bytes of a name that file systems take."""
WHOLE = 4095
"""Bytes of a path that they take."""
LONGEST = 100
"""Bytes of a part of a name, which gets a beginning and an ending."""
PLAIN = "-_.+"
"""Beside letters and digits of any script."""


def path_of(given: str | Path, argument: str = "") -> Path:
    """A path as it is meant: ``~`` is the home folder, which shells leave in ``--flag=~/x``.

    Args:
        given: The path as it was typed.
        argument: The argument that it belongs to, as it was typed, where that is known.

    Raises:
        InputError: If it is none, begins with ``~`` and a user that is not known here, or no file
            system takes it.
    """
    expected = f"{argument} to be a path" if argument else "a path"
    if not isinstance(given, str | Path):
        raise InputError(f"Expected {expected}, but got {given!r}.")
    sizes = [len(name.encode(errors="surrogatepass")) for name in Path(given).parts]
    too_long = max(sizes, default=0) > MOST or sum(sizes) + len(sizes) > WHOLE
    if too_long or "\0" in str(given):
        raise InputError(
            f"Expected {expected} that file systems take, of at most {WHOLE} bytes and names of "
            f"at most {MOST}, but got {str(given)!r}. Check it."
        )
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"Expected {expected} whose home folder is known, but got {str(given)!r}. Write the "
            "whole path, or './~...' for a folder of that name."
        ) from error


def file_named(text: str) -> Path | None:
    """The file that a text names, which may be something else, as names with commas.

    Args:
        text: What was typed.

    Returns:
        Its path; None where there is none, or none can be called so.
    """
    with suppress(InputError, OSError):
        file = path_of(text)
        return file if file.is_file() else None
    return None


def named(given: str | Path) -> str:
    """A name that may be a path: one that begins with ``~`` is one, all others stay as they are."""
    path = path_of(given)
    return str(path) if str(given).startswith("~") else str(given)


def text_of(name: Any) -> str:
    """The name of a set or a sample as text that can be stored, whatever it was given as.

    Args:
        name: Anything; names of files that are no UTF-8 are among it.
    """
    return str(name).encode(errors="backslashreplace").decode()


def file_name(name: str) -> str:
    """A name as a part of the name of a file, another one for every name.

    A name of letters, digits, ``-``, ``_``, ``.`` and ``+`` stays as it is. In others hyphens stand
    for what file systems or shells may refuse, and a hash of the whole name follows.

    Args:
        name: Any text, as the name of a set.

    Example:
        >>> file_name("imagenet_v2"), file_name("data/a b")
        ('imagenet_v2', 'data-a-b-e27ad5fd')
    """
    plain = "".join(letter if letter.isalnum() or letter in PLAIN else "-" for letter in name)
    short = plain.encode()[:LONGEST].decode(errors="ignore")
    if short == name and not name.startswith(".") and name:
        return name
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{short.lstrip('.-')}-{digest}".lstrip("-")
