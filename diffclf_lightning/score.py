"""``diffclf score``: answer again by another score, from stored errors, without a model."""

import json
from collections.abc import Sequence

import pyarrow as pa
import torch
from rich.console import Console

from diffclf_lightning.answers import Answer, Batch, Predictions
from diffclf_lightning.calibration import HOTTEST, settled_temperature
from diffclf_lightning.callbacks.table import report_table
from diffclf_lightning.evaluation import ErrorTable, Score
from diffclf_lightning.files import write_whole
from diffclf_lightning.fitted_with import FittedWith
from diffclf_lightning.metrics import Report
from diffclf_lightning.mistakes import CommandParser
from diffclf_lightning.paths import file_name
from diffclf_lightning.ranges import check_number
from diffclf_lightning.results import (
    RunFolder,
    candidates_of,
    rows_of,
    stored_errors,
    stored_errors_of_examples,
)
from diffclf_lightning.results.description import CANDIDATES
from diffclf_lightning.tasks import COSTS, Asked, Classification, Matching, Task

DESCRIPTION = """\
Answer again by another score, from the stored errors of a run (--results.errors true), without a
model: for instance --score WeightedError --score.weight ExponentialWeight. Candidates that the run
pruned stay pruned.
"""


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where tables are printed.

    Raises:
        InputError: If the folder holds no errors, or not those that the score needs.
    """
    parser = CommandParser(prog="diffclf score", description=DESCRIPTION)
    parser.add_argument("run", help="folder of a run with stored errors")
    parser.add_argument("--score", type=Score, required=True, help="the score", enable_path=False)
    parser.add_argument(
        "--temperature",
        type=float,
        default=None,
        help="default: the run's own for its own score, else 1",
    )
    parser.add_argument(
        "--calibration",
        type=str,
        default=None,
        metavar="RUN",
        help="run that diffclf calibrate was given with this score",
    )
    options = parser.parse_args(list(args))
    score = parser.instantiate_classes(options).score
    run = RunFolder(options.run)
    run.check_there()
    reports = rescored(run, score, options.temperature, options.calibration)
    console = console or Console()
    console.print(report_table(reports))
    file = run.path / f"score-{file_name(score.name)}.json"
    content = {"score": score.name, "sets": {name: r.summary() for name, r in reports.items()}}
    write_whole(file, json.dumps(content, indent=2) + "\n")
    console.print(f"Results: {file}", soft_wrap=True, highlight=False, markup=False)


def rescored(
    run: RunFolder,
    score: Score,
    temperature: float | None = None,
    calibration: str | None = None,
) -> dict[str, Report]:
    """Reports of the sets of a run by another score.

    Args:
        run: The folder of the run.
        score: The score.
        temperature: Factor on scores in probabilities. Defaults to None: that of ``calibration``,
            or the run's own, where the score is the run's, and else 1.
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote.

    Returns:
        The reports by set.

    Raises:
        InputError: If the folder holds no errors, or not those that the score needs.
    """
    if temperature is not None:
        check_number("--temperature", temperature, above=0, most=HOTTEST)
    description = run.description()
    given = temperature is not None or calibration is not None
    temperature, calibrated = settled_temperature(temperature, calibration, None, score.name)
    FittedWith(calibration, score).check(lambda: description.get("weights"))
    if not given:
        own = score.name == next(iter(description.get("scores", [])), None)
        calibrated = own and bool(description.get("calibrated"))
        temperature = float(description["temperature"]) if own else 1.0
    parts: dict[str, list[pa.Table]] = {}
    tasks: dict[str, Task] = {}
    matches = description.get("task") == Matching.__name__
    for name, rows, table in (stored_errors_of_examples if matches else stored_errors)(run):
        if name not in tasks:
            score.check(table.timesteps)
            tasks[name] = Matching() if matches else _task(name, temperature, calibrated, run)
        bound = score if matches else score.bind(candidates_of(run, name).names)
        parts.setdefault(name, []).append(_measured(rows, table, tasks[name], bound))
    reports: dict[str, Report] = {}
    for name, every in parts.items():
        report = tasks[name].report(pa.concat_tables(every), skipped=0)
        if report is not None:
            reports[name] = report
    return reports


def _task(name: str, temperature: float, calibrated: bool, run: RunFolder) -> Classification:
    """The task of a set."""
    description, metric = run.description(), "accuracy"
    if run.summary_file.is_file():
        metric = run.summary()["sets"].get(name, {}).get("metric", metric)
    names = description.get("classnames")
    asked = Asked(candidates_of(run), names, temperature, calibrated, metric)
    task = Classification(description.get("class_priors")).bind(asked)
    return task.restrict(description[CANDIDATES].get(name))


def _measured(rows: pa.Table, table: ErrorTable, task: Task, score: Score) -> pa.Table:
    """What the report needs of some rows of one set."""
    answer = Answer.from_table(table, [score])
    batch: Batch
    if isinstance(task, Matching):
        batch = {name: rows[name].to_pylist() for name in ("tag", "captions")}
        batch["images"] = [range(count) for count in rows["num_images"].to_pylist()]
    else:
        batch = {"label": torch.from_numpy(rows["label"].to_numpy().copy())}
        if isinstance(task, Classification):
            task.check_labels(batch["label"].tolist(), rows["set"][0].as_py())
    predictions = Predictions(
        set_name="",
        keys=rows["key"].to_pylist(),
        rows=[],
        digests=rows["digest"].to_pylist(),
        seconds=0.0,
        columns={**task.columns(answer, batch), "evaluations": rows["evaluations"].to_pylist()},
    )
    measured = rows_of(predictions, task.schema).select(list(task.measured))
    for name in COSTS:  # some are not in rows of an earlier version
        known = rows[name] if name in rows.schema.names else pa.nulls(len(rows), pa.float64())
        measured = measured.append_column(name, known)
    return measured
