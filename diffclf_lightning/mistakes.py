"""Mistakes on the command line, said in one line with the nearest name that there is."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pkgutil import resolve_name
from typing import Any

from jsonargparse import ArgumentParser

CLASS = re.compile(r"Problem with given class_path '([^']+)'")
OPTION = re.compile(r"unrecognized arguments: (\S+)|Option '([^']+)' is not accepted")
NAME = re.compile(r"Expected a dot import path string: (\S+)")
BASE = re.compile(r"Subtypes: \[<class '([^']+)'>")
KEY = re.compile(r'Parser key "([^"]+)"')
NESTED = re.compile(r"NestedArg\(key='([^']+)'")
NOISE = re.compile(
    r"Expected a <class 'NoneType'>|Does not validate|Subtypes:|Errors:|Given value|^Parser key"
)


def explained(message: str, parser: ArgumentParser) -> str:
    """What is wrong, in one line.

    Args:
        message: What jsonargparse says.
        parser: The parser that says it.

    Returns:
        The line.
    """
    classes = CLASS.findall(message)
    if found := OPTION.search(message):
        return _wrong_option(next(filter(None, found.groups())), classes, message, parser)
    if found := NAME.search(message):
        return _wrong_class(found[1], message)
    lines = [line.strip().removeprefix("- ") for line in message.splitlines() if line.strip()]
    telling = [line for line in lines if not NOISE.search(line)] or lines
    where = _flag(message)
    return f"{where}: {telling[-1]}" if where else telling[-1]


def _flag(message: str) -> str:
    """The argument that a message is about, as it is typed; empty if it is not known."""
    key, nested = KEY.search(message), NESTED.search(message)
    return ".".join(["--" + key[1], *([nested[1]] if nested else [])]) if key else ""


def _wrong_option(option: str, classes: list[str], message: str, parser: ArgumentParser) -> str:
    name = option.lstrip("-").partition("=")[0]
    key = KEY.search(message)
    if classes:
        owner, options = classes[-1], _options(classes[-1])
        said = f"Expected an argument of {owner.rpartition('.')[2]}"
        prefix = f"--{key[1]}." if key and len(classes) == 1 else ""
    else:
        options = _named(parser)
        said, prefix = f"Expected an argument of `{parser.prog.split(' [')[0]}`", "--"
    close = _close(name, options) or _close(name.partition(".")[0], options)
    nearest = f" The nearest: {', '.join(prefix + text for text in close)}." if close else ""
    return f"{said}, but got {option!r}.{nearest}"


def _wrong_class(name: str, message: str) -> str:
    bases = BASE.findall(message)
    names = _subclasses(bases[-1]) if bases else []
    close = _close(name, names)
    nearest = f" The nearest: {', '.join(close)}." if close else ""
    known = f"one of {', '.join(names)}, or " if names else ""
    return f"Expected {known}the import path of a class, but got {name!r}.{nearest}"


def _named(parser: ArgumentParser) -> list[str]:
    """Names of the arguments of a parser, without those that jsonargparse adds beside them."""
    options = [text for action in parser._actions for text in action.option_strings]
    return [text.lstrip("-") for text in options if not text.endswith(("+", ".help"))]


def _options(owner: str) -> list[str]:
    """Names of the arguments of a class, those that it passes on among them."""
    parser = ArgumentParser(exit_on_error=False)
    made: Any = resolve_name(owner)
    add = parser.add_class_arguments if isinstance(made, type) else parser.add_function_arguments
    add(made)
    return _named(parser)


def _subclasses(base: str) -> list[str]:
    """Names of the classes of this package that are of a kind, without abstract ones."""
    found, kinds = set(), [resolve_name(base)]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        public = kind.__module__.startswith("diffclf_lightning") and kind.__name__[0] != "_"
        if public and not any(_is_abstract(kind, name) for name in dir(kind)):
            found.add(kind.__name__)
    return sorted(found)


def _is_abstract(kind: type, name: str) -> bool:
    return bool(getattr(getattr(kind, name, None), "__isabstractmethod__", False))


def _close(name: str, names: Iterable[str]) -> list[str]:
    by_form = {text.casefold(): text for text in names}
    return [by_form[form] for form in get_close_matches(name.casefold(), by_form, cutoff=0.6)]
