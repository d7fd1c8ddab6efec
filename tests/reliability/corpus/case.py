"""What a case of the corpus is, and what cases share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from forked import Ended

Outcome = Literal["refused", "warned", "works"]
Prepare = Callable[[Path], object]
Holds = Callable[[Path, Ended], object]


def nothing(*_: Any) -> None:
    """Prepares nothing, and asks for nothing."""


@dataclass(frozen=True)
class Case:
    """An input that may be wrong, and what must come of it.

    Args:
        name: Says it in a few words, once in the corpus.
        arguments: Of the command line, in the case's own folder.
        outcome: ``"refused"`` with exit status 2 and one line; ``"warned"`` that works and says so;
            ``"works"``.
        says: What is said, in the line of the error where it is refused.
        prepare: Writes what the case needs, in its folder.
        call: What is run in place of the command line.
        images: Number of images of each set in the summary of ``out``; None where there is none.
        holds: Asserts what else must be true.
        late: Whether rows of earlier images may be stored when it is refused, and stay.
        own: Type of an error that the user's own code raises, whose traceback may be shown.
    """

    name: str
    arguments: tuple[str, ...] = ()
    outcome: Outcome = "refused"
    says: str = ""
    prepare: Prepare = nothing
    call: Callable[[], object] | None = None
    images: tuple[tuple[str, int], ...] | None = None
    holds: Holds = nothing
    late: bool = False
    own: str | None = None


TRIALS = "--model.strategy.max_trials=3"
OUT = "--results.folder=out"
FAST = "--trainer.enable_progress_bar=false"
DIGITS = ("test", "--config", "digits", TRIALS, OUT, FAST)
"""A test of the embedded model."""
FEW = (*DIGITS, "--data.num_test=6")
"""On six images."""
OWN = ("test", "--config", "folder", "--model.denoiser.pretrained_model_name_or_path")
FOLDER = (*OWN, "diffclf/digits-dit", TRIALS, OUT, FAST, "--data.root=images")
"""The same model on a folder of the user's own."""
TEXT = (
    "test", "--config", "folder_text", "--denoiser", "diffclf/digits-text", TRIALS, OUT, FAST,
    "--data.root=images",
)  # fmt: skip
"""The embedded model that takes names, on a folder."""
TABLE = (*FOLDER[:-1], "--data=ImageCSV", "--data.file=images.csv", "--data.root=.")
"""The first, on a table."""
PREDICT = ("predict", *FOLDER[1:-1], "--data=ImageFiles", "--data.paths=images")


def of(*numbers: int, name: str = "folder") -> tuple[tuple[str, int], ...]:
    """Numbers of images of one set."""
    return tuple((name, number) for number in numbers)


def steps(*prepare: Prepare) -> Prepare:
    """Several preparations, one after another."""

    def all_of(folder: Path) -> None:
        for step in prepare:
            step(folder)

    return all_of


def text(file: str, content: str | bytes, encoding: str = "utf-8") -> Prepare:
    """A file of some content."""

    def write(folder: Path) -> None:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))

    return write
