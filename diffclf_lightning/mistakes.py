"""Mistakes on the command line, said in one line with the nearest name that there is."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from inspect import signature
from pkgutil import resolve_name
from types import NoneType
from typing import Any, NoReturn, get_args

from jsonargparse import ArgumentParser, Namespace

from diffclf_lightning.errors import InputError, input_error_behind

CLASS = re.compile(r"Problem with given class_path '([^']+)'")
OPTION = re.compile(r"unrecognized arguments: (\S+)|Option '([^']+)' is not accepted")
NAME = re.compile(r"Expected a dot import path string: (\S+)")
BASE = re.compile(r"Subtypes: \[<class '([^']+)'>")
KEY = re.compile(r'Parser key "([^"]+)"')
GIVEN = re.compile(r"Given value: (.*)")
MISSING = re.compile(r"the following arguments are required: (.+)")
SUBCOMMAND = re.compile(r"^(fit|validate|test|predict)\.")
OTHER = re.compile(r"Import path does not correspond to a subclass")
NOISE = re.compile(
    r"Expected a <class 'NoneType'>|Does not validate|Subtypes:|Errors:|Given value|^Parser key"
)


class CommandParser(ArgumentParser):
    """Parser of a command, whose errors are of one line, with the nearest name."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong in one line.

        Raises:
            InputError: Always, with exit_on_error.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        raise input_error_behind(ex) or InputError(explained(message, self)) from None


def explained(message: str, parser: ArgumentParser) -> str:
    """What is wrong, in one line.

    Args:
        message: What jsonargparse says.
        parser: The parser that says it.

    Returns:
        The line.
    """
    classes = CLASS.findall(message)
    if found := MISSING.search(message):
        return _missing(found[1].split(", "), parser)
    if found := OPTION.search(message):
        return _wrong_option(next(filter(None, found.groups())), classes, message, parser)
    if found := NAME.search(message) or (OTHER.search(message) and GIVEN.search(message)):
        return _wrong_class(found[1], message, parser)
    lines = [line.strip().removeprefix("- ") for line in message.splitlines() if line.strip()]
    telling = [line for line in lines if not NOISE.search(line)] or lines
    where, said, given = _flag(message), telling[-1], GIVEN.search(message)
    if said.startswith("Expected a <class") and "Got value" not in said and given:
        said += f". Got value: {given[1]}"
    return f"{where}: {said}" if where else said


def refuse_nulls(config: Any, above: str = "-") -> None:
    """Say what is null of the arguments of classes where that is no value of theirs.

    Args:
        config: Arguments by name; those of a class are its ``init_args``.
        above: What they are arguments of, as it is typed.

    Raises:
        InputError: If there is one.
    """
    if isinstance(config, list):
        for one in config:
            refuse_nulls(one, above)
    if not isinstance(config, Namespace):
        return
    owner, arguments = config.get("class_path"), config.get("init_args")
    if owner is None or arguments is None:
        arguments = config
    for name, value in vars(arguments).items():
        flag = f"{above}{'-' if above == '-' else '.'}{name}"
        if value is None and owner is not None and not _may_be_null(owner, name):
            raise InputError(
                f"Expected {flag} to have a value, but got null. Leave it out for its default."
            )
        refuse_nulls(value, flag)


def _may_be_null(owner: str, name: str) -> bool:
    own = signature(resolve_name(owner)).parameters.get(name)
    if own is not None and own.default is None:
        return True
    for action in _parser_of(owner)._actions:  # knows what a class passes on, too
        if action.dest == name:
            kind = getattr(action, "_typehint", None)
            return action.default is None or kind in (None, Any) or NoneType in get_args(kind)
    return True


def _flag(message: str) -> str:
    """The argument that a message is about, as it is typed; empty if it is not known."""
    keys = KEY.findall(message)  # of arguments in arguments the outer first
    return f"--{'.'.join(keys)}" if keys else ""


def _missing(names: list[str], parser: ArgumentParser) -> str:
    """Arguments that are not there, as they are typed: jsonargparse names where they are kept."""
    typed = {a.dest: a.metavar or a.dest for a in parser._actions if not a.option_strings}
    said = [str(typed.get(n, f"--{SUBCOMMAND.sub('', n)}")) for n in names]
    remedy = " Give it, or a --config that has it." if SUBCOMMAND.match(names[0]) else ""
    return f"Expected {' and '.join(said)}, but got none.{remedy}"


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


def _wrong_class(name: str, message: str, parser: ArgumentParser) -> str:
    kinds: list[type] = [resolve_name(base) for base in BASE.findall(message)]
    if not kinds:  # that may be of one kind alone
        own = {f"--{action.dest}": getattr(action, "_typehint", None) for action in parser._actions}
        kinds = [kind for kind in [own.get(_flag(message))] if isinstance(kind, type)]
    names = _subclasses(kinds[-1]) if kinds else []
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
    return _named(_parser_of(owner))


def _parser_of(owner: str) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    made: Any = resolve_name(owner)
    add = parser.add_class_arguments if isinstance(made, type) else parser.add_function_arguments
    add(made)
    return parser


def _subclasses(base: type) -> list[str]:
    """Names of the classes of this package that are of a kind, without abstract ones."""
    found, kinds = set(), [base]
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
