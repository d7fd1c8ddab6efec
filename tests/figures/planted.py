"""Runs whose errors tell candidates apart where it is planted that they do."""

import torch
from running import table_of

from diffclf_lightning.answers import Answer, Predictions
from diffclf_lightning.candidates import Candidates
from diffclf_lightning.evaluation import MeanError
from diffclf_lightning.results import RunFolder
from diffclf_lightning.tasks import Asked, Classification

LABELS = 4


def plant(
    folder, errors, truth, times, *, seed=0, score="MeanError('l2')", labels=None, digests=None,
    stored=True,
):  # fmt: skip
    """Write a run of given errors of shape (images, candidates, trials); returns the folder."""
    run, images = RunFolder(folder), len(errors)
    labels = list(range(errors.shape[1])) if labels is None else labels
    candidates = Candidates([str(one) for one in range(errors.shape[1])], labels)
    task = Classification().bind(Asked(candidates, None, 1.0, False, "accuracy"))
    description = {
        "command": "test", "candidates": list(range(errors.shape[1])), "labels": labels,
        "losses": ["l2"], "scores": ["l2"], "score": score, "strategy": "Full", "noise": seed,
        "grid": "GoldenGrid()", "temperature": 1.0,
        "classnames": [f"class {one}" for one in range(LABELS)],
        "trials": {
            "time": [str(time) for time in times],
            "alpha": [0.5] * len(times), "sigma": [0.5] * len(times),
        },
    }  # fmt: skip
    run.begin(description, {"own": None})
    table = table_of(l2=errors)
    table.labels = torch.tensor(labels)
    answer = Answer.from_table(table, [MeanError("l2")], keep_errors=stored)
    columns = {**task.columns(answer, {"label": truth}), "evaluations": answer.evaluations}
    keys = [f"image-{i}" for i in range(images)]
    rows = Predictions(
        "own", keys, list(range(images)), digests or keys, 0.5, columns, answer.table
    )  # fmt: skip
    run.add(0, rows, task.schema)
    summary = {} if not len(truth) else {"own": task.report(run.rows(list(task.measured)), 0)}
    run.gather()
    run.finish(summary, description, {"own": None})
    return folder
