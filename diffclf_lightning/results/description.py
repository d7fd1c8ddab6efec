"""RunDescription: ``run.json``, which says what decides the results of a run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffclf_lightning.errors import InputError
from diffclf_lightning.files import write_whole

LAYOUT = 2
"""Of the folder; a folder of another layout is not read."""
CANDIDATES = "candidate_labels"
MACHINES = "machines"
MOST = 200
"""Letters of a value in a message."""


class Entries(dict[str, Any]):
    """Entries of a file of a run: one that is missing is named with its file.

    Args:
        content: The entries.
        file: Their file.
    """

    def __init__(self, content: Mapping[str, Any], file: Path) -> None:
        super().__init__(content)
        self.file = file

    def __missing__(self, name: str) -> Any:
        """Refuse to read what is not there.

        Raises:
            InputError: Always.
        """
        raise InputError(
            f"Expected {str(self.file)!r} to have {name!r}, but "
            f"{'it has not' if self else 'there is no such file, or it is empty'}. Name a folder "
            "that `diffclf test` wrote."
        )


class RunDescription:
    """What decides the results of a run and, which decides nothing, the machines that evaluated.

    Args:
        file: Its file, ``run.json`` in the folder of the run.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.folder = file, file.parent

    def read(self) -> dict[str, Any]:
        """The description; empty in a new folder.

        Raises:
            InputError: If the folder has another layout, or the file is damaged.
        """
        if not self.file.exists():
            return Entries({}, self.file)
        try:
            content: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
            layout = content.pop("layout", 1)
            for name, kind in ((CANDIDATES, dict), (MACHINES, list)):
                if not isinstance(content.get(name, kind()), kind):
                    raise TypeError(f"{name!r} is {type(content[name]).__name__}")
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(
                f"Expected {str(self.file)!r} to say what the rows beside it are results of, but "
                f"got {type(error).__name__}: {error}. Choose another `results.folder`."
            ) from error
        if layout != LAYOUT:
            raise InputError(
                f"Expected the folder {str(self.folder)!r} to be written by this version (layout "
                f"{LAYOUT}), but its run.json is of layout {layout}. Run again with another "
                "`results.folder`, or read it with the version that wrote it."
            )
        return Entries(content, self.file)

    def check(self, description: Mapping[str, Any], candidates: Mapping[str, Any]) -> None:
        """Say if the folder holds results of something else.

        Args:
            description: What decides the results.
            candidates: Candidate labels of each set, None where it has all.

        Raises:
            InputError: If it does.
        """
        if not self.file.exists():
            return
        before, now = self.read(), json.loads(json.dumps({**description}))
        sets = before.pop(CANDIDATES, {})
        before.pop(MACHINES, None)
        for name, labels in json.loads(json.dumps({**candidates})).items():
            if name in sets and sets[name] != labels:
                before[f"candidates of {name!r}"] = sets[name]
                now[f"candidates of {name!r}"] = labels
        for key in dict.fromkeys((*now, *before)):
            if before.get(key) != now.get(key):
                raise InputError(
                    f"Expected the folder {str(self.folder)!r} to be new or to hold results of "
                    f"the same configuration, but its {key} was {_short(before.get(key))} and is "
                    f"now {_short(now.get(key))}. Choose another `results.folder`, or replace what "
                    "is there with `results.overwrite`."
                )

    def write(self, description: Mapping[str, Any], candidates: Mapping[str, Any]) -> None:
        """Write the description, sets and machines of an earlier run among it.

        Args:
            description: What decides the results.
            candidates: Candidate labels of each set, None where it has all.
        """
        before = self.read()
        sets = {**before.get(CANDIDATES, {}), **candidates}
        self._write({**description, CANDIDATES: sets, MACHINES: before.get(MACHINES, [])})

    def record(self, machine: Mapping[str, Any]) -> None:
        """Keep what images are evaluated on, each machine once.

        Args:
            machine: Plain values, as :func:`~diffclf_lightning.results.machine` gives them.
        """
        description = self.read()
        machines = description.setdefault(MACHINES, [])
        if machine not in machines:
            machines.append(dict(machine))
            self._write(description)

    def _write(self, description: Mapping[str, Any]) -> None:
        content = {"layout": LAYOUT, **description}
        write_whole(self.file, json.dumps(content, indent=2) + "\n")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST else f"{text[:MOST]}..."
