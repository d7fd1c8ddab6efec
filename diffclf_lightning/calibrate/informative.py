"""Which times tell candidates apart: the density that :class:`InformativeGrid` steps through."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

import torch

from diffclf_lightning.calibrate.full_errors import PARTS, FullErrors
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import ErrorTable, Score
from diffclf_lightning.results import RunFolder

SMALLEST = 1e-30
"""Of a standard deviation."""


def fit_density(run: RunFolder, score: Score | None = None) -> tuple[float, ...]:
    """Density over time of a run, as :func:`density_over_time` has it.

    Args:
        run: The folder of a run with the errors of all trials.
        score: The score that decides. Defaults to None: the run's own.

    Returns:
        The density in each of 20 equal parts of [0, 1).

    Raises:
        InputError: If the run does not permit it.
    """
    full = FullErrors.of(run, score)
    full.places()
    scored = ((table, full.score_of(name)) for name, _, table in full.parts())
    return _density(scored, full.times)


def density_over_time(
    tables: Iterable[ErrorTable], times: Sequence[Fraction], score: Score
) -> tuple[float, ...]:
    """Density over time, 1 on average: half uniform, half in proportion to what a time says.

    In each part of [0, 1), over its trials, all images and all rivals (candidates of other labels
    than that of the answer by all trials), ``f`` is the mean of how far the rival is behind the
    best candidate and ``g`` the standard deviation. What a time says is ``(f / g)^2``, the squared
    number of standard errors that a trial is worth; nothing where ``f`` is below 0.

    Args:
        tables: Errors of all candidates at all trials.
        times: Times of the trials, some in each part.
        score: The score that decides.

    Returns:
        The density in each of 20 equal parts of [0, 1).

    Raises:
        InputError: If no rival is behind.
    """
    return _density(((table, score) for table in tables), times)


def _density(
    tables: Iterable[tuple[ErrorTable, Score]], times: Sequence[Fraction]
) -> tuple[float, ...]:
    """The same of tables, each with the score of its candidates."""
    place = torch.tensor([int(time * PARTS) for time in times])
    number, total, squares = torch.zeros(3, PARTS, dtype=torch.float64)
    for table, score in tables:
        scored = table.scored(score)
        values = scored.dense().double()
        best = values.take_along_dim(scored.best[:, None, None], dim=1)
        rivals = table.allowed & (table.labels != scored.predictions[:, None])
        behind = (values - best)[rivals]  # of all images: (rivals, trials)
        number.index_add_(0, place, torch.ones_like(behind).sum(dim=0))
        total.index_add_(0, place, behind.sum(dim=0))
        squares.index_add_(0, place, behind.square().sum(dim=0))
    mean = total / number
    spread = (squares / number - mean.square()).clamp(min=0).sqrt()
    says = (mean.clamp(min=0) / spread.clamp(min=SMALLEST)).square()
    if not says.sum() > 0:
        raise InputError(
            "Expected RUN to have images on which candidates of other labels are behind, but got "
            "none. Store the errors of more images."
        )
    return tuple(round(one, 4) for one in (0.5 + 0.5 * says / says.mean()).tolist())
