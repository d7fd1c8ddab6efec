"""Which times tell candidates apart: the density that :class:`InformativeGrid` steps through."""

import torch

from diffclf_lightning.calibrate.full_errors import FullErrors
from diffclf_lightning.errors import InputError
from diffclf_lightning.results import RunFolder

BINS = 20
"""Equal parts of [0, 1), where there are as many trials."""


def fit_density(run: RunFolder) -> tuple[float, ...]:
    """Density over time, 1 on average: half uniform, half in proportion to what a time says.

    In each part of [0, 1), over its trials, all images and all rivals (candidates of other labels
    than that of the answer by all trials), ``f`` is the mean of how far the rival is behind the
    best candidate and ``g`` the standard deviation. What a time says is ``(f / g)^2``, the number
    of standard errors that a trial is worth, squared; nothing where ``f`` is below 0.

    Args:
        run: The folder of a run with the errors of all trials.

    Returns:
        The density in each part.

    Raises:
        InputError: If the run does not permit it.
    """
    full = FullErrors.of(run)
    bins = min(BINS, len(full.times))
    place = torch.tensor([int(time * bins) for time in full.times])
    if len(place.unique()) < bins:
        raise InputError(
            f"Expected RUN to have trials in each of {bins} equal parts of the times, but its "
            f"grid, {run.description()['grid']}, leaves some out. Run it with --model.grid "
            "GoldenGrid."
        )
    number, total, squares = torch.zeros(3, bins, dtype=torch.float64)
    for table in full.tables():
        scored = table.scored(full.score)
        values = scored.dense().double()
        best = values.take_along_dim(scored.best[:, None, None], dim=1)
        rivals = table.allowed & (table.labels != scored.predictions[:, None])
        behind = (values - best)[rivals]  # of all images: (rivals, trials)
        number.index_add_(0, place, torch.ones_like(behind).sum(dim=0))
        total.index_add_(0, place, behind.sum(dim=0))
        squares.index_add_(0, place, behind.square().sum(dim=0))
    mean = total / number
    spread = (squares / number - mean.square()).clamp(min=0).sqrt()
    says = (mean.clamp(min=0) / spread.clamp(min=1e-30)).square()
    if not says.sum() > 0:
        raise InputError(
            "Expected RUN to have images on which candidates of other labels are behind, but got "
            "none. Store the errors of more images."
        )
    return tuple(round(one, 4) for one in (0.5 + 0.5 * says / says.mean()).tolist())
