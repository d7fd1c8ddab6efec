"""Which finished runs folders and globs mean, and what they are called."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of
from diffclf_lightning.results.folder import RunFolder


@dataclass(frozen=True)
class FoundRuns:
    """Finished runs, and why each other path is passed over.

    Args:
        runs: The runs by name: their folder's, with as much of the path as tells them apart.
        passed_over: The reasons, by path.
    """

    runs: Mapping[str, RunFolder]
    passed_over: Mapping[str, str]


def find_runs(sources: Sequence[str | Path]) -> FoundRuns:
    """The finished runs of some folders.

    Args:
        sources: Folders of runs, folders of such folders, or globs of them.

    Returns:
        The runs in the order of the sources, each once.

    Raises:
        InputError: If a source is not there, or no run is finished.
    """
    runs: dict[Path, RunFolder] = {}
    passed_over: dict[str, str] = {}
    paths: list[Path] = []
    for source in sources:
        if not (meant := run_folders(source)):
            raise InputError(
                f"Expected RUN to be a folder of finished runs, or a glob of them, but got "
                f"{str(source)!r}, which is not there. Name folders that `diffclf test` printed."
            )
        paths += meant
    for path in paths:
        run = RunFolder(path)
        why = run.unfinished() if path.is_dir() else "no folder"
        if why is None:
            runs.setdefault(path.resolve(), run)
        else:
            passed_over[str(path)] = why
    if not runs:
        found = "; ".join(f"{p}: {why.rstrip('.')}" for p, why in passed_over.items())
        raise InputError(
            f"Expected RUN to be the folder of a finished run, but got {found or 'none'}. Name "
            "folders that `diffclf test` printed."
        )
    return FoundRuns(dict(zip(_names(runs), runs.values(), strict=True)), passed_over)


def family(description: Mapping[str, Any]) -> str:
    """The kind of model of a run: the name of a network, or else the class of its denoiser.

    Args:
        description: Of the run.
    """
    named = (description.get(key) for key in ("model", "denoiser", "classifier"))
    return str(next((name for name in named if name), "unknown"))


def run_folders(source: str | Path) -> list[Path]:
    """The paths that a source means.

    Args:
        source: A folder of a run, a folder of such folders, another path, or a glob.

    Returns:
        Folders of runs, or else what is there; nothing where nothing is.
    """
    path = path_of(source)
    there = path.exists()
    pattern = str(path.relative_to(path.anchor))
    paths = [path] if there else sorted(Path(path.anchor).glob(pattern))
    return [member for one in paths for member in _members(one)]


def _members(path: Path) -> list[Path]:
    """The runs of a folder of runs, or else the path itself."""
    if not path.is_dir() or RunFolder(path).begun:
        return [path]
    return [child for child in sorted(path.iterdir()) if RunFolder(child).begun] or [path]


def _names(paths: Iterable[Path]) -> list[str]:
    every = list(paths)
    for length in range(1, max(len(path.parts) for path in every)):
        names = ["/".join(path.parts[-length:]) for path in every]
        if max(Counter(names).values()) == 1:
            return names
    return [str(path) for path in every]
