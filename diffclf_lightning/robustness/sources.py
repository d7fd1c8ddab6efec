"""Where models and baselines come from: folders of finished runs, shipped tables, CSV files."""

import json
from collections.abc import Sequence
from pathlib import Path

from pyarrow import ArrowInvalid

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.results import RunFolder, family, run_folders
from diffclf_lightning.robustness.joined import join
from diffclf_lightning.robustness.tables import (
    Model,
    Table,
    first_repeated,
    read_table,
    shipped_tables,
)

DEFAULT_BASELINES = ("testbed", "timm", "digits")
OTHERS = ("robustness.json", "compare.csv", "compare-pairs.csv")
"""Files of comparisons, which beside runs are passed over, and so are folders of theirs alone."""
RUNS = "runs"
"""Name of the table that finished runs make together."""


def read_run(folder: str | Path, *, other_losses: bool = False) -> list[Model]:
    """The model of a finished run, and if asked for once more for each of its other losses.

    It is named after its folder, of the family of its network or denoiser; sets without numbers of
    correct images (of captions, or without labels) are passed over. A folder without a finished run
    is an InputError.
    """
    run, own = RunFolder(folder), Path(folder).resolve().name
    described, reports = (run.summary()[part] for part in ("run", "sets"))
    sets = {name: one for name, one in reports.items() if one.get("total") and "correct" in one}
    by_name = {own: sets}
    for set_name, report in sets.items() if other_losses else ():
        for loss, counts in report.get("others", {}).items():
            by_name.setdefault(f"{own} ({loss})", {})[set_name] = counts
    try:
        rows = run.completed(()).items()
    except (OSError, ArrowInvalid) as error:
        raise InputError(
            f"Expected {str(run.images)!r} to be a table of results, but got "
            f"{type(error).__name__}: {error}. Run `diffclf test` again."
        ) from error
    images = {name: frozenset(stored.rows["key"].to_pylist()) for name, stored in rows}
    return [
        Model(
            name=name,
            family=family(described),
            accuracies={s: Accuracy.of(c["correct"], c["total"]) for s, c in counts.items()},
            images=images,
            candidates={s: report.get("candidate_labels") for s, report in sets.items()},
            weights=described.get("weights"),
            decided=json.dumps([described, name.removeprefix(own)], sort_keys=True),
        )
        for name, counts in by_name.items()
    ]


def read_models(sources: Sequence[str], *, other_losses: bool = False) -> list[Model]:
    """Models of finished runs' folders (also of globs and of folders of them), CSV files or tables.

    Folders that hold comparisons alone are passed over; runs of one model on other sets are joined.
    Two models of one name are an InputError.
    """
    models: list[Model] = []
    for source in sources:
        folders = [path for path in run_folders(source) if path.is_dir()]
        if not folders and Path(source).name not in OTHERS:
            models += read_table(source).models
        for folder in folders:
            if RunFolder(folder).begun or not any((folder / name).is_file() for name in OTHERS):
                models += read_run(folder, other_losses=other_losses)
    joined = join(models)
    _check_names("models", [model.name for model in joined])
    return joined


def read_baselines(sources: Sequence[str]) -> list[Table]:
    """Tables of baselines: shipped ones, CSV files, and one of all folders of finished runs.

    A shipped table goes before a folder of its name. Two tables of one name, or runs of the same
    weights, are an InputError.
    """
    shipped = shipped_tables()
    folders = [
        name for name in sources
        if name not in shipped and any(path.is_dir() for path in run_folders(name))
    ]  # fmt: skip
    tables = [read_table(source) for source in sources if source not in folders]
    if folders:
        runs = read_models(folders)
        twice = first_repeated(run.weights for run in runs if run.weights is not None)
        if twice is not None:
            raise InputError(
                "Expected baselines of different weights, but "
                f"{' and '.join(run.name for run in runs if run.weights == twice)} have the same: "
                "they are one baseline. Name one of them."
            )
        tables.append(Table(RUNS, runs))
    _check_names("tables of baselines", [table.name for table in tables])
    return tables


def _check_names(what: str, names: Sequence[str]) -> None:
    twice = first_repeated(names)
    if twice is not None:
        raise InputError(
            f"Expected {what} of different names, but got {twice!r} twice. Rename one, or name "
            "each once."
        )
