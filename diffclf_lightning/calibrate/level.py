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
from diffclf_lightning.calibrate.temperature import label_scores
from diffclf_lightning.calibration import Calibration, race_of
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import ErrorTable, Racing, Score, replayed
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
        keep: Number of candidates that race, or None for all.
    """

    race: Racing
    keep: int | None = None

    def __call__(self, table: ErrorTable, score: Score, ranks: Tensor | None) -> ErrorTable:
        """The part of a table that is left.

        Args:
            table: Errors of all candidates at all trials.
            score: Decides the race.
            ranks: Places of the candidates, shape ``(images, candidates)``, or None.
        """
        if self.keep is not None and ranks is not None:
            kept = ranks < self.keep
            table = replace(table.beginning(table.counts * kept), allowed=kept)
        race = self.race.bind(len(table.labels), self.race.stages)
        return replayed(table, race, score)

    def said(self, num_candidates: int) -> str:
        """What it is, in words."""
        if self.keep is None:
            return f"Level {self.race.level:g}"
        return f"Keep {self.keep} of {num_candidates} candidates, level {self.race.level:g}"


def settings(trials: int, num_candidates: int, ranking: Ranking | None) -> list[Setting]:
    """What is tested, in order."""
    races = [Racing(level, max_trials=trials) for level in LEVELS]
    if ranking is None:
        return [Setting(race) for race in races]
    usual = Racing(max_trials=trials)
    tested = [Setting(race) for race in races if race.level <= usual.level]
    keep = num_candidates
    while (keep := min(keep - 1, int(keep / SHRINK))) >= 1:
        tested.append(Setting(usual, keep))
    return tested


def fit_level(
    run: RunFolder, rate: float, confidence: float, score: Score | None = None
) -> tuple[Calibration, str]:
    """The setting of a race by Learn then Test, and the temperature of its scores.

    Args:
        run: The folder of a run with the errors of all trials.
        rate: Share of images on which the race may differ from all trials.
        confidence: How sure that is to be.
        score: The score that decides. Defaults to None: the run's own.

    Returns:
        What was fitted, and what may be said of it.

    Raises:
        InputError: If the run does not permit it.
    """
    full = FullErrors.of(run, score)
    trials, grid = full.trials, full.grid_of_race()
    ranking, num_candidates = Ranking.of(run), len(candidates_of(run))
    tested = settings(trials, num_candidates, ranking)
    images, wrong = 0, [0] * len(tested)
    for table, bound, ranks, _, _ in _ranked(full, ranking):
        right = table.scored(bound).predictions
        images += len(right)
        for place, setting in enumerate(tested):
            raced = setting(table, bound, ranks).scored(bound).predictions
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
        full.score.name,
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
) -> Iterator[tuple[ErrorTable, Score, Tensor | None, Tensor, Tensor]]:
    """Error tables, the score, ranks of candidates, true labels, evaluations of the shortlist."""
    for name, rows, table in full.parts():
        ranks = (
            None if ranking is None else ranking.ranks(rows, candidates_of(full.run, name).names)
        )
        labels = torch.from_numpy(rows["label"].to_numpy().copy())
        spent = torch.from_numpy(rows["evaluations"].to_numpy().copy()) - table.evaluations
        yield table, full.score_of(name), ranks, labels, spent


def _as_raced(
    full: FullErrors, ranking: Ranking | None, setting: Setting
) -> tuple[Tensor, Tensor, float]:
    """Scores of labels after a race, true labels, and evaluations an image."""
    width = max(candidates_of(full.run).labels) + 1
    scores, labels, evaluations = [], [], []
    for table, bound, ranks, label, spent in _ranked(full, ranking):
        raced = setting(table, bound, ranks)
        scores.append(label_scores(raced, bound, width))
        labels.append(label)
        evaluations.append(raced.evaluations + (0 if setting.keep is None else spent))
    mean = float(torch.cat(evaluations).double().mean())
    return torch.cat(scores), torch.cat(labels), mean
