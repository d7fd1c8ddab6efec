"""The matrix of ranks and the corpus of bad inputs, as trials."""

from collections.abc import Iterator
from pathlib import Path

import corpus
import rank_matrix

from .judging import OTHER, TRACEBACK, WRONG, Finding, Trial

SUBJECTS = corpus.SUBJECTS
SILENT = "exit status 0", "NaN", "images", "rows"
"""Beginnings, or ends, of what was not told to whoever ran it."""


def matrix(folder: Path, ranks: int) -> Iterator[Trial]:
    """All ways in which so many ranks share a set."""
    for number, cell in enumerate(cell for cell in rank_matrix.cells() if cell.ranks == ranks):
        outcome, wanted = rank_matrix.run(cell, folder / f"{number}"), rank_matrix.expected(cell)
        kind = WRONG if outcome == rank_matrix.WRONG else OTHER
        found = () if outcome == wanted else (Finding(kind, f"{outcome} in place of {wanted}"),)
        yield Trial("ranks", str(cell), found)


def inputs(folder: Path, subject: str) -> Iterator[Trial]:
    """All bad inputs of a subject."""
    for number, case in enumerate(corpus.cases(subject)[subject]):
        place = folder / f"{number}"
        place.mkdir(parents=True)
        wrong = corpus.run(case, place).wrong
        yield Trial("corpus", f"{subject}: {case.name}", tuple(map(_finding, wrong)))


def _finding(wrong: str) -> Finding:
    kind = TRACEBACK if "traceback" in wrong else OTHER
    silent = wrong.startswith(SILENT) or wrong.endswith(SILENT)
    return Finding(WRONG if silent else kind, wrong)
