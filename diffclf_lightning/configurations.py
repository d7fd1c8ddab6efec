"""Configurations: the shipped ones by name, and files."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path

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
        InputError: If there is neither.
    """
    if path_of(name).is_file():
        return named(name)
    if name in shipped_configs():
        return str(CONFIGS / f"{name}.yaml")
    close = get_close_matches(name, shipped_configs(), n=3, cutoff=0.5)
    nearest = f" The nearest: {', '.join(close)}." if close else ""
    raise InputError(
        f"Expected --config to be a file or one of {', '.join(shipped_configs())}, but got "
        f"{name!r}.{nearest}"
    )


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
