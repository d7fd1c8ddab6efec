"""Whether a case came out as it should, by one function for all."""

import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from forked import Ended, Forked

from corpus.case import Case
from diffclf_lightning.cli import main
from diffclf_lightning.errors import input_error_behind, message_of

SAID = "error: "
LONGEST = 60.0
"""Seconds of a case."""
LEFT = ("*.partial", "*.tmp", "*.lock")


@dataclass(frozen=True)
class Verdict:
    """How a case came out.

    Args:
        case: The case.
        wrong: What is not as it should be; empty if all is.
        ended: How its process ended.
        seconds: How long it took.
    """

    case: Case
    wrong: tuple[str, ...]
    ended: Ended
    seconds: float


def run(case: Case, folder: Path) -> Verdict:
    """Run a case in an empty folder and judge it."""
    case.prepare(folder)
    before = _files(folder)
    begun = time.monotonic()
    called = case.call or partial(main, list(case.arguments))
    try:
        ended = Forked(_as_a_command(called), folder).end(LONGEST)
    except TimeoutError as error:
        return Verdict(case, (str(error),), Ended(1, "", ""), LONGEST)
    seconds = time.monotonic() - begun
    return Verdict(case, tuple(_wrong(case, folder, ended, before)), ended, seconds)


def _as_a_command(call: Callable[[], object]) -> Callable[[], None]:
    """A call whose input errors end it as they end the command line."""

    def called() -> None:
        warnings.resetwarnings()
        for unseen in (DeprecationWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", unseen)
        warnings.showwarning = _shown  # pytest keeps them
        try:
            call()
        except Exception as error:
            said = input_error_behind(error)
            if said is None:
                raise
            sys.stderr.write(f"diffclf: error: {message_of(said)}\n")
            sys.exit(2)

    return called


def _shown(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))


def _wrong(case: Case, folder: Path, ended: Ended, before: set[Path]) -> Iterator[str]:
    if case.own is not None:
        if case.own not in ended.stderr or ended.code != 1:
            yield f"expected the user's own {case.own}, but it ended with {ended.code}"
        return
    if "Traceback" in ended.stderr:
        yield "a traceback"
    expected = 2 if case.outcome == "refused" else 0
    if ended.code != expected:
        yield f"exit status {ended.code} in place of {expected}"
    if case.outcome == "refused":
        yield from _unsaid(case, ended)
        new = {file for file in _files(folder) - before if file.suffix in (".parquet", ".ckpt")}
        if new and not case.late:
            yield f"refused after {len(new)} files were written: {min(new)}"
    elif case.says not in " ".join(f"{ended.stderr} {ended.stdout}".split()):
        yield f"what is said lacks {case.says!r}"
    elif case.outcome == "warned" and not case.says:
        yield "a warning has words"
    for pattern in LEFT:
        yield from (f"left behind: {file}" for file in set(folder.rglob(pattern)) - before)
    if case.outcome != "refused" and ended.code == 0:
        yield from _miscounted(case, folder, before)
        try:
            case.holds(folder, ended)
        except (AssertionError, OSError, LookupError) as error:
            yield f"does not hold: {type(error).__name__} {error}"


def _unsaid(case: Case, ended: Ended) -> Iterator[str]:
    """One line of error, the last, with the words."""
    errors = [line for line in ended.stderr.splitlines() if SAID in line]
    if len(errors) != 1:
        yield f"{len(errors)} lines of an error"
        return
    if not errors[0].startswith("diffclf"):
        yield "the error does not stand on a line of its own"
    if case.says not in ended.stderr[ended.stderr.index(errors[0]) :]:
        yield f"the error lacks {case.says!r}"


def _miscounted(case: Case, folder: Path, before: set[Path]) -> Iterator[str]:
    file = folder / "out/summary.json"
    if case.images is None:
        return
    if not file.is_file():
        yield "no summary"
        return
    sets = json.loads(file.read_text())["sets"]
    counted = {name: entry.get("total", entry.get("images")) for name, entry in sets.items()}
    if case.arguments[:1] != ("predict",) and counted != dict(case.images):
        yield f"images {counted} in place of {dict(case.images)}"
    if any(map(_is_nan, _numbers(sets))):
        yield "NaN in the summary"
    rows = len(pq.read_table(folder / "out/images.parquet", columns=["key"]))
    if rows != sum(number for _, number in case.images):
        yield f"{rows} rows"
    if set((folder / "out/parts").glob("*.parquet")) - before:
        yield "parts left behind"


def _numbers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _numbers(entry)
    else:
        yield value


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}
