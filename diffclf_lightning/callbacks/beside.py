"""What is made beside the results of a run, and may fail without costing them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn


@contextmanager
def beside_results(what: str, folder: str | Path | None, again: str) -> Iterator[None]:
    """Within, an error becomes a warning of one line: the run is over, and its results are stored.

    Args:
        what: What is made, as the beginning of a sentence.
        folder: Folder of the results, or None where they are not stored.
        again: What makes it later, as the end of a sentence; unused where nothing is stored.
    """
    try:
        yield
    except Exception as error:  # whatever draws or prints may raise anything
        said = (str(error).splitlines() or [""])[0].rstrip(".")
        kept = f" Rows and summary are stored in {folder}: {again}" if folder is not None else ""
        rank_zero_warn(f"{what} failed ({type(error).__name__}: {said}).{kept}")
