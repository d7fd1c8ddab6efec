"""Configurations: the shipped ones by name, and files."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path

import yaml

from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import named, path_of

CONFIGS = Path(__file__).parent / "configs"


def shipped_configs() -> list[str]:
    """Names of the configurations that the package carries."""
    return sorted(str(f.relative_to(CONFIGS).with_suffix("")) for f in CONFIGS.rglob("*.yaml"))


def find_config(name: str) -> str:
    """The file of a configuration.

    Args:
        name: A file, or the name of a shipped configuration.

    Returns:
        Path of the file.

    Raises:
        InputError: If there is neither, or the file holds no arguments.
    """
    if path_of(name).is_file():
        check_config(path_of(name))
        return named(name)
    if name in shipped_configs():
        return str(CONFIGS / f"{name}.yaml")
    close = get_close_matches(name, shipped_configs(), n=3, cutoff=0.5)
    nearest = f" The nearest: {', '.join(close)}." if close else ""
    raise InputError(
        f"Expected --config to be a file or one of {', '.join(shipped_configs())}, but got "
        f"{name!r}.{nearest}"
    )


def check_config(file: Path) -> None:
    """Refuse a configuration that holds no arguments by name, or one of them twice.

    Args:
        file: The file.

    Raises:
        InputError: If it is such.
    """
    expected = f"Expected the configuration {str(file)!r} to be YAML with arguments by name, "
    try:
        text = file.read_text(encoding="utf-8-sig")
        content, nodes = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{expected}but got {error}.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{expected}but got {_problem(error)}.") from error
    if not isinstance(content, dict):
        found = "an empty file" if content is None else f"a {type(content).__name__}"
        raise InputError(f"{expected}but got {found}.")
    if nodes is not None and (twice := _twice(nodes, set())):
        raise InputError(
            f"{expected}each once, but got {twice.value!r} again in line "
            f"{twice.start_mark.line + 1}. YAML takes the last one alone: drop one of them."
        )


def _problem(error: Exception) -> str:
    """What is wrong with a file, and in which line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    told = " ".join(str(problem or error).split())
    return told if mark is None else f"{told} in line {mark.line + 1}"


def _twice(node: yaml.Node, seen: set[int]) -> yaml.ScalarNode | None:
    """A key that stands twice in one mapping, if there is one."""
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return None
    seen.add(id(node))
    below = node.value
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in names and key.value != "<<":
                    return key
                names.add(key.value)
        below = [value for _, value in node.value]
    return next(filter(None, (_twice(one, seen) for one in below)), None)


def matching_configs(pattern: str) -> list[str]:
    """Configurations that a glob matches.

    Args:
        pattern: The glob, of files and of names of shipped configurations; ``*`` ends at a slash.

    Returns:
        Files and names, each in alphabetical order.
    """
    path = path_of(pattern)
    files = sorted(map(str, Path(path.anchor).glob(str(path.relative_to(path.anchor)))))
    depth = pattern.count("/")
    shipped = [n for n in shipped_configs() if n.count("/") == depth and fnmatch(n, pattern)]
    return [file for file in files if Path(file).suffix in (".yaml", ".yml")] + shipped


def resolve_configs(args: Sequence[str]) -> tuple[list[str], str]:
    """Arguments with shipped configurations as paths, and a name for the run.

    Args:
        args: Command-line arguments.

    Returns:
        The arguments, and the names of the configurations, joined; ``run`` without any.
    """
    resolved: list[str] = list(args)
    names: list[str] = []
    for i, arg in enumerate(args):
        flag, given, value = arg.partition("=")
        if flag not in ("--config", "-c"):
            continue
        if given:
            resolved[i] = f"{flag}={find_config(value)}"
            names.append(Path(value).stem)
        elif i + 1 < len(args):
            resolved[i + 1] = find_config(args[i + 1])
            names.append(Path(args[i + 1]).stem)
    return resolved, "-".join(names) or "run"
