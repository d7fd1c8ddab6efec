"""The temperature that makes probabilities of scores."""

import torch
from torch import Tensor

from diffclf_lightning.calibration import Calibration
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import ErrorTable, Score, best_candidates, per_label
from diffclf_lightning.metrics import fit_temperature
from diffclf_lightning.results import (
    RunFolder,
    candidates_of,
    lists_of,
    stored_errors,
    timesteps_of,
)
from diffclf_lightning.tasks import Classification


def fit_on_rows(run: RunFolder) -> Calibration:
    """The temperature of scores as a run stored them.

    Args:
        run: The folder of the run.

    Returns:
        What was fitted.

    Raises:
        InputError: If the run has no rows with labels.
    """
    rows = run.rows(Classification.fitted)
    labelled = rows is not None and set(Classification.fitted) <= set(rows.schema.names)
    if rows is None or not labelled or rows["label"].null_count or not len(rows):
        raise InputError(
            f"Expected RUN to hold rows with known labels, but {str(run.path)!r} has none. Name "
            "the folder of `diffclf validate` or `diffclf test`."
        )
    score = run.description()["scores"][0]
    check_labels(torch.tensor(rows["label"].to_numpy()), lists_of(rows, "scores").shape[1], run)
    return Calibration(Classification().fit(rows)["temperature"], score, len(rows))


def fit_on_errors(run: RunFolder, score: Score) -> Calibration:
    """The temperature of another score, from stored errors.

    Args:
        run: The folder of the run.
        score: The score.

    Returns:
        What was fitted.

    Raises:
        InputError: If the run has no errors with labels, or not those that the score needs.
    """
    score.check(timesteps_of(run.description()))
    width, scores, labels = max(candidates_of(run).labels) + 1, [], []
    for name, rows, table in stored_errors(run):
        bound = score.bind(candidates_of(run, name).names)
        scores.append(label_scores(table, bound, width))
        labels.append(torch.from_numpy(rows["label"].to_numpy().copy()))
    truth = torch.cat(labels)
    check_labels(truth, width, run)
    return Calibration(fit_temperature(torch.cat(scores), truth), score.name, len(truth))


def check_labels(labels: Tensor, num_labels: int, run: RunFolder) -> None:
    """Refuse stored labels that the run did not choose among.

    Args:
        labels: The labels, at least one.
        num_labels: Number of labels.
        run: The folder of the run, for messages.

    Raises:
        InputError: If one is not below that number.
    """
    wrong = labels[(labels < 0) | (labels >= num_labels)]
    if len(wrong):
        raise InputError(
            f"Expected the labels of the rows in {str(run.path)!r} from 0 to {num_labels - 1}, but "
            f"got {int(wrong[0])}. The file is damaged, or has been changed: run `diffclf test` "
            "again."
        )


def label_scores(table: ErrorTable, score: Score, num_labels: int) -> Tensor:
    """Scores of labels, infinite without a candidate, shape ``(images, num_labels)``."""
    values = table.scored(score).scores
    return per_label(values, best_candidates(values, table.labels, num_labels), torch.inf)
