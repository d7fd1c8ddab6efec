"""The runs of a sweep, and how far each is.

A sweep is a YAML file::

    configs:
      - digits                                  # a configuration, or a glob: baselines/resnet*
      - {name: digits-l1, config: digits, model.loss: l1}
    data:                                       # left out: each model's own data
      - Digits
      - {name: rotated, data: ImageFolder, data.root: rotated}
    args: {trainer.devices: 2}                  # flags of every run
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from diffclf_lightning.errors import InputError
from diffclf_lightning.files import made, write_whole
from diffclf_lightning.paths import path_of
from diffclf_lightning.results import RunFolder
from diffclf_lightning.sweep.choices import Choice, Entry, composed, flag, models, sets

PARTS = ("name", "configs", "data", "args")
LOGS = "logs"
"""Folder, within that of a sweep, of what each run was told and said."""
LONGEST = 60
"""Letters of a name that is made of others."""


@dataclass(frozen=True)
class Member:
    """One run of a sweep.

    Args:
        folder: Where its results go; its configuration and its output go to ``logs`` beside.
        config: Its configuration, as text.
        flags: Its flags of ``diffclf test``.
        data: What its data is called; empty where it is the model's own.
    """

    folder: Path
    config: str
    flags: tuple[str, ...]
    data: str = ""

    @property
    def name(self) -> str:
        """``MODEL__SET``."""
        return self.folder.name

    @property
    def config_file(self) -> Path:
        """Where its configuration is written."""
        return self.folder.parent / LOGS / f"{self.name}.yaml"

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder.parent / LOGS / f"{self.name}.log"

    @property
    def args(self) -> list[str]:
        """What follows ``diffclf`` on the command line."""
        where = [f"--config={self.config_file}", *self.flags, f"--results.folder={self.folder}"]
        return ["test", *where]

    @property
    def command(self) -> str:
        """Its command line, as a shell takes it."""
        return shlex.join(["diffclf", *self.args])

    @property
    def content(self) -> str:
        """Content of its file: the command in a comment, and the configuration."""
        return f"# {self.command}\n{self.config}"

    @property
    def state(self) -> str:
        """``finished``, ``continues`` or ``new``."""
        run = RunFolder(self.folder)
        if run.unfinished() is None:
            return "finished"
        return "continues" if run.begun else "new"

    def write(self) -> None:
        """Write its configuration."""
        made(self.config_file.parent)
        write_whole(self.config_file, self.content)

    def check(self) -> None:
        """Refuse a folder that holds the run of something else.

        Raises:
            InputError: If an earlier sweep of this name had other arguments for it.
        """
        file = self.config_file
        if RunFolder(self.folder).begun and (
            not file.is_file() or file.read_text() != self.content
        ):
            raise InputError(
                f"Expected the sweep of this name to be the same as before, but {self.name} has "
                f"another configuration or other flags than {file} says. Choose another --name, or "
                f"remove {self.folder}."
            )


@dataclass(frozen=True)
class Sweep:
    """Runs under one folder.

    Args:
        folder: Where they go.
        members: The runs.
    """

    folder: Path
    members: Sequence[Member]

    @classmethod
    def make(
        cls,
        name: str,
        chosen_models: Iterable[Entry],
        chosen_sets: Iterable[Entry] = (),
        flags: Sequence[str] = (),
    ) -> "Sweep":
        """Every model on every set.

        Args:
            name: Of the sweep.
            chosen_models: Its models.
            chosen_sets: Its data. Defaults to none: each model's own.
            flags: Flags of every run.

        Raises:
            InputError: If an entry is wrong, or two have one name.
        """
        folder = Path("runs") / f"sweep-{name}"
        found, data = models(chosen_models), sets(chosen_sets)
        if not found:
            raise InputError(
                "Expected at least one model in a sweep, but got none. Give --configs."
            )
        _check_names([name], "sweeps")
        _check_names([model.name for model in found], "configs")
        _check_names([of.name for of in data], "data")
        every: Sequence[Choice | None] = data or [None]
        members = [
            Member(
                folder / (model.name if of is None else f"{model.name}__{of.name}"),
                composed(model, of),
                (*(() if of is None else of.flags), *model.flags, *flags),
                "" if of is None else of.name,
            )
            for model in found
            for of in every
        ]
        for member in members:
            _check_flags(member.flags)
        return cls(folder, members)

    @classmethod
    def read(cls, file: Path, name: str | None, flags: Sequence[str] = ()) -> "Sweep":
        """The sweep of a file.

        Args:
            file: The YAML file.
            name: Of the sweep. Defaults to None: that in the file, or else the file's own.
            flags: Flags of every run, after those in the file.

        Raises:
            InputError: If the file is no sweep.
        """
        file = path_of(file)
        try:
            content = yaml.safe_load(file.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(
                f"Expected SWEEP to be a YAML file, but got {str(file)!r} "
                f"({type(error).__name__}: {' '.join(str(error).split())})."
            ) from error
        if not isinstance(content, Mapping) or not set(content) <= set(PARTS):
            found = sorted(map(str, content)) if isinstance(content, Mapping) else content
            raise InputError(
                f"Expected the sweep {file} to have the keys {', '.join(PARTS)} alone, but got "
                f"{found}."
            )
        common = content.get("args") or {}
        if not isinstance(common, Mapping):
            raise InputError(
                f"Expected `args` of the sweep {file} to be a mapping of flags, but got "
                f"{common!r}. Write, for instance, args: {{trainer.devices: 2}}."
            )
        return cls.make(
            name or str(content.get("name", file.stem)),
            _list(content, "configs", file),
            _list(content, "data", file),
            (*(flag(key, value) for key, value in common.items()), *flags),
        )


def name_of(patterns: Sequence[str]) -> str:
    """A name for a sweep of some configurations, the same for the same ones.

    Args:
        patterns: Names, files and globs.
    """
    words = [re.sub(r"\W+", "-", pattern.removesuffix(".yaml")).strip("-") for pattern in patterns]
    return "-".join(filter(None, words))[:LONGEST].strip("-") or "all"


def _list(content: Mapping[str, Any], part: str, file: Path) -> list[Entry]:
    entries = content.get(part) or []
    if not isinstance(entries, list):
        raise InputError(
            f"Expected `{part}` of the sweep {file} to be a list, but got {entries!r}. Put it in "
            "brackets."
        )
    return entries


def _check_names(names: Sequence[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"Expected {what} of different names, but got {name!r} twice. Give one a `name` in "
                "a SWEEP.yaml."
            )
        if not re.fullmatch(r"[\w.+=-]+", name):
            raise InputError(
                f"Expected names of {what} that can name a folder, but got {name!r}. Give it "
                "another `name`, of letters, digits and -_.+= alone."
            )


def _check_flags(flags: Iterable[str]) -> None:
    for one in flags:
        if re.match(r"(--config|-c|--results\.folder|--results)(=|$)", one):
            raise InputError(
                f"Expected flags for every run of the sweep, but got {one!r}, which the sweep sets "
                "itself. Leave it out."
            )
