"""Bootstrap bands of fits, by family."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics.curves import Curve
from diffclf_lightning.metrics.intervals import CONFIDENCE
from diffclf_lightning.metrics.scales import Scale


@dataclass(frozen=True)
class Band:
    """Bootstrap band of a fit.

    Args:
        id: In-distribution accuracies, shape ``(points,)``.
        scaled_lower: Lower end of the prediction at each, on the scale.
        scaled_upper: Upper end.
        scale: The scale.
        repeats: Number of resamples that could be fitted.
        degenerate: Number of those that could not, and are left out.
    """

    id: NDArray[np.float64]
    scaled_lower: NDArray[np.float64]
    scaled_upper: NDArray[np.float64]
    scale: Scale
    repeats: int
    degenerate: int

    @property
    def lower(self) -> NDArray[np.float64]:
        """Lower end of the predicted accuracy at each."""
        return self.scale.inverse(self.scaled_lower)

    @property
    def upper(self) -> NDArray[np.float64]:
        """Upper end."""
        return self.scale.inverse(self.scaled_upper)


def bootstrap_band(
    curve: Curve,
    id: Sequence[float],
    ood: Sequence[float],
    families: Sequence[Hashable],
    at: Sequence[float],
    repeats: int = 1000,
    seed: int = 0,
) -> Band:
    """95% band of a fit, by drawing whole families of baselines with replacement.

    Models of one family are alike (sizes of one architecture, seeds of one recipe): drawing them
    one by one would make the band too narrow.

    Args:
        curve: What is fitted.
        id: In-distribution accuracies of the baselines, from 0 to 1.
        ood: Their out-of-distribution accuracies.
        families: Family of each baseline.
        at: In-distribution accuracies at which to give the band.
        repeats: Number of resamples.
        seed: Seed of the resampling.

    Returns:
        The band.

    Raises:
        InputError: If there are fewer than two families, or no resample can be fitted.
    """
    names = list(dict.fromkeys(families))
    if len(names) < 2:
        raise InputError(
            f"Expected baselines of at least two families for a bootstrap band, but got "
            f"{len(names)}. Name their families apart."
        )
    members = [[i for i, family in enumerate(families) if family == name] for name in names]
    x, y = np.asarray(id, dtype=np.float64), np.asarray(ood, dtype=np.float64)
    generator = np.random.default_rng(seed)
    predictions = []
    for _ in range(repeats):
        drawn = generator.integers(len(members), size=len(members))
        chosen = np.concatenate([members[i] for i in drawn])
        try:
            fit = curve.fit(x[chosen].tolist(), y[chosen].tolist())
        except InputError:
            continue
        predictions.append(fit.scaled_predictions(at))
    if not predictions:
        raise InputError(
            f"Expected baselines of which at least one of {repeats} resamples can be fitted, but "
            "got none. Add baselines of other families."
        )
    tail = 100 * (1 - CONFIDENCE) / 2
    lower, upper = np.percentile(predictions, [tail, 100 - tail], axis=0)
    fitted = len(predictions)
    points = np.asarray(at, dtype=np.float64)
    return Band(points, lower, upper, curve.scale, fitted, repeats - fitted)
