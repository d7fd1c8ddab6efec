"""Runs that are made without a model: rows as a run writes them, of random errors."""

import io

import numpy as np
import torch
from PIL import Image
from running import table_of

from diffclf_lightning.answers import Answer, Predictions
from diffclf_lightning.callbacks.thumbnails import COLUMN, encoded
from diffclf_lightning.candidates import Candidates
from diffclf_lightning.evaluation import MeanError
from diffclf_lightning.results import RunFolder
from diffclf_lightning.tasks import Asked, Classification


def make_run(
    folder, sets=("own",), images=40, labels=4, trials=6, errors=True, pictures=True, known=True,
    classnames=None, side=8,
):  # fmt: skip
    """Write a run of random errors that favour the true label; returns the folder."""
    run, names = RunFolder(folder), dict.fromkeys(sets)
    candidates = Candidates.from_class_ids(labels)
    task = Classification().bind(Asked(candidates, classnames, 30.0, True, "accuracy"))
    description = {
        "command": "test", "classifier": "DiffusionClassifier", "denoiser": "Gaussian",
        "candidates": list(range(labels)), "labels": list(range(labels)), "losses": ["l2"],
        "scores": ["l2"], "strategy": "Full", "temperature": 30.0, "classnames": classnames,
        "trials": {
            "time": [f"{2 * i + 1}/{2 * trials}" for i in range(trials)],
            "alpha": [0.5] * trials, "sigma": [0.5] * trials,
        },
    }  # fmt: skip
    run.begin(description, names)
    for name in sets:
        truth = torch.randint(labels, (images,))
        losses = 0.5 + 0.1 * torch.rand(images, labels, trials)
        losses[torch.arange(images), truth] -= 0.1 * torch.rand(images, 1)
        losses[: images // 2, 1:, trials // 2 :] = torch.nan  # a race: only the first goes on
        answer = Answer.from_table(table_of(l2=losses), [MeanError("l2")], keep_errors=errors)
        columns = task.columns(answer, {"label": truth} if known else {})
        shown = [encoded(torch.rand(3, side, side)) if pictures else None for _ in truth]
        columns |= {"evaluations": answer.evaluations, COLUMN.name: shown}
        keys = [f"{name}-{i}" for i in range(images)]
        rows = Predictions(
            name, keys, list(range(images)), keys, 0.01, columns, answer.table
        )  # fmt: skip
        run.add(0, rows, task.schema.append(COLUMN))
    run.gather()
    run.finish({}, description, names)
    return folder


def picture(data):
    """Pixels of a stored thumbnail."""
    return np.asarray(Image.open(io.BytesIO(data)))
