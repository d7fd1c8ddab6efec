"""The level of a race, and the size of a shortlist, for a share of answers that may differ.

Settings are tested one after another, from the safest on ("Learn then Test", Angelopoulos et al.
2021): levels with all candidates and, where the run has a shortlist, then fewer and fewer
candidates at the level that is usual.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diffclf_lightning.calibrate.full_errors import FullErrors
from diffclf_lightning.calibrate.ranking import Ranking
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
from diffclf_lightning.results import RunFolder, candidates_of

LEVELS = 1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3
SHRINK = 1.25
"""Candidates that are kept, over those of the next setting."""


@dataclass(frozen=True)
class Setting:
    """A race among the first candidates of a shortlist.

    Args:
        race: The race.
        score: Decides it.
        keep: Number of candidates that race, or None for all.
    """

    race: Racing
    score: MeanError
    keep: int | None = None

    def __call__(self, table: ErrorTable, ranks: Tensor | None) -> ErrorTable:
        """The part of a table that is left.

        Args:
            table: Errors of all candidates at all trials.
            ranks: Places of the candidates, shape ``(images, candidates)``, or None.
        """
        if self.keep is not None and ranks is not None:
            kept = ranks < self.keep
            table = replace(table.beginning(table.counts * kept), allowed=kept)
        race = self.race.bind(len(table.labels), self.race.stages)
        return replayed(table, race, self.score)

    def said(self, num_candidates: int) -> str:
        """What it is, in words."""
        if self.keep is None:
            return f"Level {self.race.level:g}"
        return f"Keep {self.keep} of {num_candidates} candidates, level {self.race.level:g}"


def settings(
    trials: int, score: MeanError, num_candidates: int, ranking: Ranking | None
) -> list[Setting]:
    """What is tested, in order."""
    races = [Racing(level, max_trials=trials) for level in LEVELS]
    if ranking is None:
        return [Setting(race, score) for race in races]
    usual = Racing(max_trials=trials)
    tested = [Setting(race, score) for race in races if race.level <= usual.level]
    keep = num_candidates
    while (keep := min(keep - 1, int(keep / SHRINK))) >= 1:
        tested.append(Setting(usual, score, keep))
    return tested


def fit_level(run: RunFolder, rate: float, confidence: float) -> tuple[Calibration, str]:
    """The setting of a race by Learn then Test, and the temperature of its scores.

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
    ranking, num_candidates = Ranking.of(run), len(candidates_of(run))
    tested = settings(trials, score, num_candidates, ranking)
    images, wrong = 0, [0] * len(tested)
    for table, ranks, _, _ in _ranked(full, ranking):
        right = table.scored(score).predictions
        images += len(right)
        for place, setting in enumerate(tested):
            raced = setting(table, ranks).scored(score).predictions
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
    setting = tested[chosen]
    scores, labels, evaluations = _as_raced(full, ranking, setting)
    race = setting.race
    calibration = Calibration(
        fit_temperature(scores, labels),
        score.name,
        images,
        race.level,
        race_of(race, grid, run.description()["noise"]),
        keep=setting.keep,
    )
    what = f"Racing(max_trials={trials})"
    what += f" after {ranking.shortlist}" if ranking is not None and setting.keep else ""
    said = (
        f"{setting.said(num_candidates)}: on images like these, and with this noise, {what} gives "
        f"another answer than all {trials} trials on at most {sure}. On these {images} it does on "
        f"{wrong[chosen]}, and takes {evaluations:.0f} evaluations an image.\n"
    )
    return calibration, said


def _ranked(
    full: FullErrors, ranking: Ranking | None
) -> Iterator[tuple[ErrorTable, Tensor | None, Tensor, Tensor]]:
    """Error tables, ranks of the candidates, true labels, and evaluations of the shortlist."""
    for name, rows, table in full.parts():
        ranks = (
            None if ranking is None else ranking.ranks(rows, candidates_of(full.run, name).names)
        )
        labels = torch.from_numpy(rows["label"].to_numpy().copy())
        spent = torch.from_numpy(rows["evaluations"].to_numpy().copy()) - table.evaluations
        yield table, ranks, labels, spent


def _as_raced(
    full: FullErrors, ranking: Ranking | None, setting: Setting
) -> tuple[Tensor, Tensor, float]:
    """Scores of labels after a race, true labels, and evaluations an image."""
    width = max(candidates_of(full.run).labels) + 1
    scores, labels, evaluations = [], [], []
    for table, ranks, label, spent in _ranked(full, ranking):
        raced = setting(table, ranks)
        values = raced.scored(setting.score).scores
        best = best_candidates(values, table.labels, width)
        scores.append(per_label(values, best, torch.inf))
        labels.append(label)
        evaluations.append(raced.evaluations + (0 if setting.keep is None else spent))
    mean = float(torch.cat(evaluations).double().mean())
    return torch.cat(scores), torch.cat(labels), mean
