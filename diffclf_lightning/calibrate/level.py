"""The level of a race, for a share of answers that may differ from those of all trials."""

import torch
from torch import Tensor

from diffclf_lightning.calibrate.full_errors import FullErrors
from diffclf_lightning.calibration import Calibration, race_of
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import (
    ErrorTable,
    MeanError,
    Racing,
    best_candidates,
    per_label,
    replayed,
)
from diffclf_lightning.metrics import fit_temperature, images_needed, last_within
from diffclf_lightning.results import RunFolder, candidates_of, stored_errors

LEVELS = 1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3


def fit_level(run: RunFolder, rate: float, confidence: float) -> tuple[Calibration, str]:
    """The level of a race by Learn then Test, and the temperature of its scores.

    Args:
        run: The folder of a run with the errors of all trials.
        rate: Share of images on which the race may differ from all trials.
        confidence: How sure that is to be.

    Returns:
        What was fitted, and what may be said of it.

    Raises:
        InputError: If the run does not permit it.
    """
    full = FullErrors.of(run)
    trials, score, grid = full.trials, full.score, full.grid_of_race()
    races = [Racing(level, max_trials=trials) for level in LEVELS]
    images, wrong = 0, [0] * len(races)
    for table in full.tables():
        right = table.scored(score).predictions
        images += len(right)
        for place, race in enumerate(races):
            raced = _raced(table, race, score).scored(score).predictions
            wrong[place] += int((raced != right).sum())
    sure = f"{100 * rate:.3g}% with {100 * confidence:g}% confidence"
    needed = images_needed(rate, confidence)
    if images < needed:
        raise InputError(
            f"Expected RUN to hold at least {needed} images for an error rate of {sure}, but "
            f"got {images}. Store the errors of more images, or ask for less."
        )
    chosen = last_within(wrong, images, rate, confidence)
    if chosen is None:
        raise InputError(
            f"Expected an --error-rate that a race reaches, but at level {LEVELS[0]:g} it differs "
            f"from all trials on {wrong[0]} of {images} images, which does not show {sure}. Ask "
            "for a higher --error-rate, or store the errors of more images."
        )
    race = races[chosen]
    scores, labels, evaluations = _as_raced(run, race, score)
    noise = run.description()["noise"]
    calibration = Calibration(
        fit_temperature(scores, labels), score.name, images, race.level, race_of(race, grid, noise)
    )
    said = (
        f"Level {race.level:g}: on images like these, and with this noise, Racing(max_trials="
        f"{trials}) gives another answer than all {trials} trials on at most {sure}. On these "
        f"{images} it does on {wrong[chosen]}, and takes {evaluations:.0f} evaluations an image.\n"
    )
    return calibration, said


def _raced(table: ErrorTable, race: Racing, score: MeanError) -> ErrorTable:
    return replayed(table, race.bind(len(table.labels), race.stages), score)


def _as_raced(run: RunFolder, race: Racing, score: MeanError) -> tuple[Tensor, Tensor, float]:
    """Scores of labels after a race, true labels, and evaluations an image."""
    width = max(candidates_of(run).labels) + 1
    scores, labels, evaluations = [], [], []
    for _, rows, table in stored_errors(run):
        raced = _raced(table, race, score)
        values = raced.scored(score).scores
        best = best_candidates(values, table.labels, width)
        scores.append(per_label(values, best, torch.inf))
        labels.append(torch.from_numpy(rows["label"].to_numpy().copy()))
        evaluations.append(raced.evaluations)
    mean = float(torch.cat(evaluations).double().mean())
    return torch.cat(scores), torch.cat(labels), mean
