"""Where models and baselines come from: folders of finished runs, shipped tables, CSV files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
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
Counts = Mapping[str, Any]
RUNS = "runs"
"""Name of the table that finished runs make together."""


def read_run(folder: str | Path, *, other_losses: bool = False) -> list[Model]:
    """The model of a finished run, and if asked for once more for each of its other losses.

    It is named after its folder, of the family of its network or denoiser; sets without numbers of
    correct images (of captions, or without labels) are passed over. A folder without a finished
    run, or whose summary is not that of its rows, is an InputError.
    """
    run = RunFolder(folder)
    own = run.path.resolve().name
    described, reports = (run.summary()[part] for part in ("run", "sets"))
    sets = {n: one for n, one in reports.items() if isinstance(one, Mapping) and "correct" in one}
    by_name: dict[str, dict[str, Counts]] = {own: sets}
    for set_name, report in sets.items() if other_losses else ():
        for loss, counts in report.get("others", {}).items():
            by_name.setdefault(f"{own} ({loss})", {})[set_name] = counts
    answered = _answered(run, other_losses)
    models = []
    for name, counts in by_name.items():
        loss = name.removeprefix(own).strip(" ()")
        rows = {s: answered[s] for s in counts if s in answered}
        images = {s: frozenset(table["key"].to_pylist()) for s, table in rows.items()}
        correct = {s: _correct(table, loss) for s, table in rows.items()}
        accuracies = {s: _accuracy(run, s, c) for s, c in counts.items()}
        for s, accuracy in accuracies.items():
            found = len(correct.get(s, ())), len(images.get(s, ()))
            if s in rows and found != (accuracy.correct, accuracy.total):
                raise InputError(
                    f"Expected {str(run.summary_file)!r} to count the rows of set {s!r} in "
                    f"{str(run.images)!r}, but it has {accuracy.correct} of {accuracy.total} "
                    f"correct, and they {found[0]} of {found[1]}. Run `diffclf test` again with "
                    "this folder as `results.folder`."
                )
        models.append(
            Model(
                name=name,
                family=family(described),
                accuracies=accuracies,
                images=images,
                correct=correct,
                candidates={s: report.get("candidate_labels") for s, report in sets.items()},
                weights=described.get("weights"),
                decided=json.dumps([described, name.removeprefix(own)], sort_keys=True),
            )
        )
    return models


def _answered(run: RunFolder, other_losses: bool) -> dict[str, pa.Table]:
    """Rows of each set, with their answers."""
    try:
        others = ["other_predictions"] if other_losses else []
        stored = run.completed(["label", "prediction", *others])
    except (OSError, ArrowInvalid) as error:
        raise InputError(
            f"Expected {str(run.images)!r} to be a table of results, but got "
            f"{type(error).__name__}: {error}. Run `diffclf test` again."
        ) from error
    return {name: one.rows for name, one in stored.items()}


def _correct(rows: pa.Table, loss: str) -> frozenset[str]:
    """Keys of the images whose label a loss answers; the one that decides has no name."""
    answers = rows["prediction"].to_pylist()
    if loss:
        answers = [dict(pairs or ()).get(loss) for pairs in rows["other_predictions"].to_pylist()]
    right = zip(rows["key"].to_pylist(), rows["label"].to_pylist(), answers, strict=True)
    return frozenset(key for key, label, answer in right if label is not None and label == answer)


def _accuracy(run: RunFolder, set_name: str, counts: Counts) -> Accuracy:
    """The accuracy of a summary, which has to be possible."""
    correct, total = counts.get("correct"), counts.get("total")
    try:
        if type(correct) is int and type(total) is int:
            return Accuracy.of(correct, total)
        raise InputError("no whole numbers")
    except InputError as error:
        raise InputError(
            f"Expected whole numbers of images of set {set_name!r} in {str(run.summary_file)!r}, "
            f"`correct` from 0 to `total`, but got correct={correct!r} and total={total!r}. Run "
            "`diffclf test` again with this folder as `results.folder`."
        ) from error


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
