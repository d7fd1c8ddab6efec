"""Folders of results."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from forked import diffclf

from corpus.case import FEW, Case, Outcome, Prepare, of, steps, text
from corpus.pictures import cut, without

SIX = of(6, name="digits")
OVERWRITE = ("--results.overwrite=true",)
IMAGES, SUMMARY, RUN = "out/images.parquet", "out/summary.json", "out/run.json"
_kept: list[TemporaryDirectory[str]] = []


@cache
def finished() -> Path:
    """The folder of a finished run, made once."""
    _kept.append(TemporaryDirectory())
    folder = Path(_kept[-1].name)
    ended = diffclf(folder, *FEW)
    if ended.code:
        raise RuntimeError(ended.stderr)
    return folder / "out"


def run(to: str = "out") -> Prepare:
    """A copy of it."""
    return lambda folder: shutil.copytree(finished(), folder / to)


def edited(file: str, edit: Callable[[dict[str, Any]], object]) -> Prepare:
    """Changes a file of JSON."""

    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        edit(content)
        (folder / file).write_text(json.dumps(content))

    return change


def other_columns(folder: Path) -> None:
    """Rows of something else."""
    pq.write_table(pa.table({"a": [1, 2]}), folder / IMAGES)


def foreign(folder: Path) -> None:
    """Rows of something else, in a folder of something else."""
    (folder / "out").mkdir()
    other_columns(folder)


def again(name: str, *change: Prepare, outcome: Any = "refused", says: str = "") -> Case:
    """The same test once more, in a folder that something happened to."""
    return Case(
        f"folder: {name}",
        FEW,
        outcome,
        says,
        steps(run(), *change),
        images=None if outcome == "refused" else SIX,
    )


READERS = {
    "compare": ("compare", "out", "other"),
    "report": ("report", "out", "--output=r.html"),
    "costs": ("costs", "out"),
    "robustness": ("robustness", "out", "--output=figures"),
    "figures": ("figures", "out"),
    "calibrate": ("calibrate", "out"),
    "score": ("score", "out", "--score=MeanError"),
}


def reads(name: str, command: str, *change: Prepare, says: str = "out") -> Case:
    """A command that reads a folder which something happened to."""
    prepare = steps(run(), run("other"), *change)
    outcome: Outcome = "refused"
    if command == "compare" and says != "images.parquet":
        outcome, says = "warned", "out is left out"
    return Case(f"folder: {command} of {name}", READERS[command], outcome, says, prepare)


def of_all(name: str, *change: Prepare, says: str = "out") -> list[Case]:
    """Each command that reads rows."""
    return [reads(name, command, *change, says=says) for command in READERS]


CASES = [
    Case("folder: a file", FEW, says="out", prepare=text("out", b"x")),
    Case(
        "folder: below a file", (*FEW, "--results.folder=a/out"), says="a", prepare=text("a", b"x")
    ),
    Case("folder: in what nobody may write", (*FEW, "--results.folder=/proc/out"), says="/proc"),
    Case("folder: an empty name", (*FEW, "--results.folder="), says="results.folder"),
    Case("folder: a name of 300 letters", (*FEW, f"--results.folder={'a' * 300}"), says="aaa"),
    Case(
        "folder: one of other software",
        FEW,
        "works",
        prepare=text("out/notes.txt", "mine"),
        images=SIX,
        holds=lambda folder, _: (folder / "out/notes.txt").stat(),
    ),
    again("finished", outcome="works"),
    again("without summary.json", without(SUMMARY), outcome="works"),
    again("half a summary.json", cut(SUMMARY, 0.5), outcome="works"),
    again("half a run.json", cut(RUN, 0.5), says="run.json"),
    again("an empty run.json", text(RUN, b""), says="run.json"),
    again("a run.json that is a list", text(RUN, "[]"), says="run.json"),
    again("a run.json that is null", text(RUN, "null"), says="run.json"),
    again("no run.json beside rows", without(RUN), says="run.json"),
    again("another layout", edited(RUN, lambda c: c.update(layout=99)), says="layout"),
    again("a run.json that says more", edited(RUN, lambda c: c.update(later=1)), says="later"),
    again("another seed", edited(RUN, lambda c: c.update(seed=5)), says="seed"),
    again("half a Parquet file", cut(IMAGES, 0.5), says="images.parquet"),
    again("a Parquet file of no bytes", text(IMAGES, b""), says="images.parquet"),
    again("a Parquet file of text", text(IMAGES, "rows"), says="images.parquet"),
    again("a Parquet file of other columns", other_columns, says="images.parquet"),
    again(
        "a part of no bytes", text("out/parts/0.parquet", b""), outcome="warned", says="0.parquet"
    ),
    again(
        "a part cut short",
        lambda f: (f / "out/parts").mkdir(),
        lambda f: shutil.copy(f / IMAGES, f / "out/parts/7.parquet"),
        cut("out/parts/7.parquet", 0.7),
        outcome="warned",
        says="7.parquet",
    ),
    again(
        "a file of no part among the parts", text("out/parts/notes.txt", "mine"), outcome="works"
    ),
    Case(
        "folder: of another model",
        ("test", "--config", "digits_text", *FEW[3:]),
        says="out",
        prepare=run(),
    ),
    Case(
        "folder: more images than before",
        (*FEW, "--data.num_test=8"),
        "works",
        prepare=run(),
        images=of(8, name="digits"),
    ),
    Case(
        "folder: of fit, for a test",
        FEW,
        "works",
        prepare=text("out/config.yaml", "# lightning.pytorch==2.6\na: 1\n"),
        images=SIX,
    ),
    *(
        Case(
            f"folder: of something else, {name}, {' '.join(extra)}",
            (*FEW, *extra),
            "refused",
            says=says,
            prepare=prepare,
        )
        for name, says, prepare, extra in (
            ("config.yaml", "config.yaml", text("out/config.yaml", "{}"), ()),
            ("config.yaml", "config.yaml", text("out/config.yaml", "{}"), OVERWRITE),
            ("summary.json", "run.json", text(SUMMARY, "{}"), ()),
            ("images.parquet", "images.parquet", foreign, OVERWRITE),
        )
    ),
    *of_all("an empty folder", lambda f: (shutil.rmtree(f / "out"), (f / "out").mkdir())),
    *(
        reads("a folder without rows", name, without(IMAGES), says="has none")
        for name in ("report", "figures", "calibrate", "score")
    ),
    *of_all("half a Parquet file", cut(IMAGES, 0.5), says="images.parquet"),
    *of_all("half a run.json", cut(RUN, 0.5), says="run.json"),
    *(
        reads("half a summary.json", name, cut(SUMMARY, 0.5), says="summary.json")
        for name in ("costs", "robustness")
    ),
    *(
        reads("a summary.json that is a list", name, text(SUMMARY, "[1]"), says="summary.json")
        for name in ("costs", "robustness")
    ),
    *(
        reads("another layout", name, edited(RUN, lambda c: c.update(layout=99)), says="layout")
        for name in ("compare", "report", "calibrate")
    ),
    reads("a run without errors", "figures", says="results.errors"),
    reads("a run without errors", "score", says="results.errors"),
    Case("folder: compare one run", ("compare", "out"), "works", prepare=run()),
    Case("folder: compare a run with itself", ("compare", "out", "out"), "works", prepare=run()),
    Case(
        "folder: report to a folder",
        ("report", "out", "--output=."),
        says="--output",
        prepare=run(),
    ),
    Case(
        "folder: report to a folder that is not there",
        ("report", "out", "--output=none/r.html"),
        "works",
        prepare=run(),
        holds=lambda folder, _: (folder / "none/r.html").stat(),
    ),
    Case(
        "folder: costs to an unknown kind",
        ("costs", "out", "--output=c.xlsx"),
        says="--output",
        prepare=run(),
    ),
    Case(
        "folder: compare to an unknown kind",
        ("compare", "out", "--output=c.xlsx"),
        says="--output",
        prepare=run(),
    ),
    Case(
        "folder: compare with a reference that is no run of them",
        ("compare", "out", "--reference=other"),
        says="--reference",
        prepare=run(),
    ),
    Case(
        "folder: calibration for a test of the folder of a run without one",
        (*FEW, "--results.folder=new", "--model.calibration=out"),
        says="calibrat",
        prepare=run(),
    ),
]
