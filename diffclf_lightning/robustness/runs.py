"""Finished runs as models to compare, or as baselines."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
from pyarrow import ArrowInvalid

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.results import RunFolder
from diffclf_lightning.robustness.models import Candidates, Model


def read_run(folder: str | Path) -> Model:
    """The model of a finished run.

    Args:
        folder: The folder of its results.

    Returns:
        The model, named after the folder; its family is the network's name.

    Raises:
        InputError: If the folder holds no finished run.
    """
    run = RunFolder(folder)
    summary = run.summary()
    sets = summary["sets"]
    name = Path(folder).resolve().name
    images = {}
    if run.images.exists() and sets:
        try:
            rows = pq.read_table(run.images, columns=["set", "key"]).to_pylist()
        except (OSError, ArrowInvalid) as error:
            raise InputError(
                f"Expected {str(run.images)!r} to be a table of results, but got "
                f"{type(error).__name__}: {error}. Run `diffclf test` again."
            ) from error
        images = {s: frozenset(row["key"] for row in rows if row["set"] == s) for s in sets}
    return Model(
        name=name,
        family=str(summary["run"].get("model", name)),
        accuracies={s: Accuracy.of(r["correct"], r["total"]) for s, r in sets.items()},
        images=images,
        candidates={s: as_candidates(r.get("candidate_labels")) for s, r in sets.items()},
        weights=summary["run"].get("weights"),
    )


def read_run_by_loss(folder: str | Path) -> list[Model]:
    """The model of a finished run, and the same as each of its other losses judges.

    Args:
        folder: The folder of its results.

    Returns:
        The model, and one a further loss, named after the folder and the loss.

    Raises:
        InputError: If the folder holds no finished run.
    """
    model, sets = read_run(folder), RunFolder(folder).summary()["sets"]
    by_loss: dict[str, dict[str, Accuracy]] = {}
    for name, report in sets.items():
        for loss, count in report.get("other_losses", {}).items():
            accuracy = Accuracy.of(count["correct"], count["total"])
            by_loss.setdefault(loss, {})[name] = accuracy
    return [
        model,
        *(
            replace(model, name=f"{model.name} ({loss})", accuracies=accuracies)
            for loss, accuracies in by_loss.items()
        ),
    ]


def as_candidates(labels: object) -> Candidates:
    """Candidate labels in a form that can be compared.

    Args:
        labels: Labels, sequences of merged labels, or none.

    Returns:
        The same as tuples.
    """
    if not isinstance(labels, list | tuple):
        return None
    return tuple(tuple(entry) if isinstance(entry, list | tuple) else entry for entry in labels)
