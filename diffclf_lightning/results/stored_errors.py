"""Stored errors of a run (``--results.errors true``), to answer from without a model."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import torch

from diffclf_lightning.candidates import Candidates
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import ErrorTable
from diffclf_lightning.results.description import CANDIDATES
from diffclf_lightning.results.folder import RunFolder
from diffclf_lightning.results.rows import error_table, timesteps_of

STORED = ("label", "trial_counts", "errors", "reference_errors")
OF_EXAMPLES = ("tag", "captions", "num_images", "trial_counts", "errors", "reference_errors")
BESIDE = ("shortlist_scores",)
"""Columns that are there in some runs."""


def candidates_of(run: RunFolder, set_name: str | None = None) -> Candidates:
    """What a run chose among.

    Args:
        run: The folder of the run.
        set_name: Name of a set, which may have some of the candidates. Defaults to None: all.
    """
    description = run.description()
    conditions = [tuple(c) if isinstance(c, list) else c for c in description["candidates"]]
    every = Candidates([str(one) for one in conditions], description["labels"])
    restricted = description[CANDIDATES].get(set_name)
    return every if restricted is None else every.restrict(restricted)


def stored_errors(
    run: RunFolder, *, labelled: bool = True
) -> Iterator[tuple[str, pa.Table, ErrorTable]]:
    """The rows of a run with stored errors, a bounded number at once.

    Args:
        run: The folder of the run.
        labelled: Whether labels have to be known.

    Yields:
        Name of a set, rows of it, and their error table.

    Raises:
        InputError: If a row has no label or no errors, or there is none.
    """
    found = False
    for rows in run.batches([*STORED, *BESIDE]):
        found = set(STORED) <= set(rows.schema.names)
        if not found or (labelled and rows["label"].null_count):
            found = False
            break
        timesteps = timesteps_of(run.description())
        for name in rows["set"].unique().to_pylist():
            chosen, found = rows.filter(pc.field("set") == name), True
            labels = torch.tensor(candidates_of(run, name).labels)
            yield name, chosen, error_table(chosen, labels, timesteps)
    if not found:
        raise InputError(
            f"Expected RUN to hold stored errors of images{' with known labels' * labelled}, but "
            f"{str(run.path)!r} has none. Run `diffclf test` with --results.errors true."
        )


def stored_errors_of_examples(run: RunFolder) -> Iterator[tuple[str, pa.Table, ErrorTable]]:
    """The rows of a run on images and captions, with stored errors, a bounded number at once.

    Args:
        run: The folder of the run.

    Yields:
        Name of a set, rows of it, and their error table: all images, and all captions as
        candidates.

    Raises:
        InputError: If a row has no errors, or there is none.
    """
    found = False
    for rows in run.batches(OF_EXAMPLES):
        found = set(OF_EXAMPLES) <= set(rows.schema.names)
        if not found:
            break
        timesteps = timesteps_of(run.description())
        for name in rows["set"].unique().to_pylist():
            chosen = rows.filter(pc.field("set") == name)
            images = chosen["num_images"].to_pylist()
            yield name, chosen, error_table(chosen, torch.empty(0), timesteps, images)
    if not found:
        raise InputError(
            f"Expected RUN to hold stored errors of examples, but {str(run.path)!r} has none. Run "
            "`diffclf test` with --results.errors true."
        )
