"""``diffclf score``: answer again by another score, from stored errors, without a model."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from jsonargparse import ArgumentParser
from rich.console import Console
from torch import Tensor

from diffclf_lightning.answers import Answer, Predictions
from diffclf_lightning.callbacks.table import report_table
from diffclf_lightning.candidates import Candidates
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import Score, Timesteps
from diffclf_lightning.files import write_whole
from diffclf_lightning.metrics import Report
from diffclf_lightning.results import RunFolder, error_table, rows_of, timesteps_of
from diffclf_lightning.tasks import Asked, Classification

DESCRIPTION = """\
Answer again by another score, from the stored errors of a run (--results.errors true), without a
model: for instance --score WeightedError --score.weight ExponentialWeight. Candidates that the run
pruned stay pruned.
"""
STORED = ("label", "trial_counts", "errors", "reference_errors")


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where tables are printed.

    Raises:
        InputError: If the folder holds no errors, or not those that the score needs.
    """
    parser = ArgumentParser(prog="diffclf score", description=DESCRIPTION)
    parser.add_argument("run", help="folder of a run with stored errors")
    parser.add_argument("--score", type=Score, required=True, help="the score", enable_path=False)
    parser.add_argument(
        "--temperature",
        type=float,
        default=None,
        help="default: the run's own for its own score, else 1",
    )
    options = parser.parse_args(list(args))
    score = parser.instantiate_classes(options).score
    run = RunFolder(options.run)
    reports = rescored(run, score, options.temperature)
    console = console or Console()
    console.print(report_table(reports))
    file = run.path / f"score-{_file_name(score.name)}.json"
    content = {"score": score.name, "sets": {name: r.summary() for name, r in reports.items()}}
    write_whole(file, json.dumps(content, indent=2) + "\n")
    console.print(f"Results: {file}", soft_wrap=True, highlight=False, markup=False)


def rescored(run: RunFolder, score: Score, temperature: float | None = None) -> dict[str, Report]:
    """Reports of the sets of a run by another score.

    Args:
        run: The folder of the run.
        score: The score.
        temperature: Factor on scores in probabilities. Defaults to None: the run's own, where the
            score is the run's, and else 1.

    Returns:
        The reports by set.

    Raises:
        InputError: If the folder holds no errors, or not those that the score needs.
    """
    if temperature is not None and not 0 < temperature < float("inf"):
        raise InputError(f"Expected --temperature above 0 and finite, but got {temperature}.")
    description, timesteps = run.description(), None
    calibrated = temperature is not None
    if temperature is None:
        own = score.name == next(iter(description.get("scores", [])), None)
        calibrated = own and bool(description.get("calibrated"))
        temperature = float(description["temperature"]) if own else 1.0
    parts: dict[str, list[pa.Table]] = {}
    tasks: dict[str, tuple[Classification, Tensor]] = {}
    for rows in run.batches(STORED):
        if not set(STORED) <= set(rows.schema.names) or rows["label"].null_count:
            break
        if timesteps is None:
            timesteps = timesteps_of(description)
            score.check(timesteps)
        for name in rows["set"].unique().to_pylist():
            if name not in tasks:
                tasks[name] = _task(description, name, temperature, calibrated, run)
            chosen = rows.filter(pc.field("set") == name)
            parts.setdefault(name, []).append(_measured(chosen, *tasks[name], score, timesteps))
    else:
        reports: dict[str, Report] = {}
        for name, every in parts.items():
            report = tasks[name][0].report(pa.concat_tables(every), skipped=0)
            if report is not None:
                reports[name] = report
        if reports:
            return reports
    raise InputError(
        f"Expected RUN to hold stored errors of images with known labels, but {str(run.path)!r} "
        "has none. Run `diffclf test` with --results.errors true."
    )


def _task(
    description: Mapping[str, Any], name: str, temperature: float, calibrated: bool, run: RunFolder
) -> tuple[Classification, Tensor]:
    """The task of a set, and the label of each of its candidates."""
    candidates = Candidates(
        [str(condition) for condition in description["candidates"]], description["labels"]
    )
    metric = "accuracy"
    if run.summary_file.is_file():
        metric = run.summary()["sets"].get(name, {}).get("metric", metric)
    asked = Asked(candidates, description.get("classnames"), temperature, calibrated, metric)
    task = Classification(description.get("class_priors")).bind(asked)
    restricted = description["candidate_labels"].get(name)
    own = candidates if restricted is None else candidates.restrict(restricted)
    return task.restrict(restricted), torch.tensor(own.labels)


def _measured(
    rows: pa.Table, task: Classification, labels: Tensor, score: Score, timesteps: Timesteps
) -> pa.Table:
    """What the report needs of some rows of one set."""
    answer = Answer.from_table(error_table(rows, labels, timesteps), [score])
    truth = torch.from_numpy(rows["label"].to_numpy().copy())
    predictions = Predictions(
        set_name="",
        keys=rows["key"].to_pylist(),
        rows=[],
        digests=rows["digest"].to_pylist(),
        seconds=0.0,
        columns={**task.columns(answer, {"label": truth}), "evaluations": answer.evaluations},
    )
    measured = rows_of(predictions, task.schema).select(list(task.measured))
    for name in ("evaluations", "seconds"):
        measured = measured.append_column(name, rows[name])
    return measured


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
