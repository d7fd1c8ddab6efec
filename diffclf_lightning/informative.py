"""InformativeGrid: times at which candidates differ most, first."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from diffclf_lightning.calibration import Calibration
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import GoldenGrid, TimeGrid, golden_order
from diffclf_lightning.evaluation.grids import Order


class InformativeGrid(TimeGrid):
    """Evenly spaced times, those that told candidates apart on calibration images first.

    The order of :class:`GoldenGrid` with its steps through a density over time, which
    ``diffclf calibrate RUN --informative`` learns: half of it uniform, half in proportion to the
    squared ratio of the mean to the standard deviation of how far rivals are behind. A race has
    then seen informative times when it first drops somebody; after the last trial the grid is as
    complete as any. On images unlike those of the calibration early rounds may mislead.

    Args:
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote.
        density: The density itself, in its place: constant in each of as many equal parts of
            [0, 1) as there are entries.

    Raises:
        InputError: If not one of the two is given, the calibration has no density, or an entry is
            not above 0.

    Example:
        >>> times, _ = InformativeGrid(density=[1, 1, 7, 1]).order((8,))
        >>> [str(time) for time in times[:4]]
        ['9/16', '5/16', '11/16', '7/16']
    """

    def __init__(
        self, calibration: str | Path | None = None, density: Sequence[float] | None = None
    ) -> None:
        if (calibration is None) == (density is None):
            raise InputError(
                "Expected argument `calibration` of InformativeGrid, a run that `diffclf calibrate "
                f"--informative` was given, or else `density`, but got "
                f"{'neither' if density is None else 'both'}."
            )
        self.fitted_with: str | None = None
        if calibration is not None:
            fitted = Calibration.load(calibration)
            density, self.fitted_with = fitted.density, fitted.model
            if density is None:
                raise InputError(
                    "Expected argument `calibration` of InformativeGrid to have a density of "
                    f"times, but {str(calibration)!r} has none. Make it with `diffclf calibrate "
                    "RUN --informative`."
                )
        self.calibration = None
        self.density = tuple(density or ())
        if not self.density or not all(one > 0 and isfinite(one) for one in self.density):
            raise InputError(
                f"Expected argument `density` to have entries above 0 and finite, but got "
                f"{list(self.density)}."
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(density={self.density})"

    def order(self, stages: Sequence[int]) -> Order:
        return golden_order(stages[-1], GoldenGrid().offset, self.density), tuple(stages)
