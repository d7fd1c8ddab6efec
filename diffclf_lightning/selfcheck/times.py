"""Times: whether the network is told the time that the noise has.

The noise of a sample stays, and the network is told other times: all over the schedule, the time
reversed, and what it is told multiplied. A trained network errs least when it is told the truth.
That is so by definition for samples of its own distribution, which guidance would leave.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import exp, inf, isfinite, log
from statistics import fmean

import torch
from torch import Tensor

from diffclf_lightning.denoisers import Denoiser
from diffclf_lightning.selfcheck.findings import Figure, Finding, Verdict
from diffclf_lightning.selfcheck.probe import LEVELS, Probe

FACTORS = (0.001, 0.1, 10, 1000)
GRID = tuple(Fraction(2 * place + 1, 20) for place in range(10))
"""Times that are told, whatever the noise."""
FITS, FAILS, HEEDS = 1.1, 1.3, 1.2
"""How much more than the least the error at the told time is, at most and at least; and how much
more at the reversed time, at least, or the network does not heed it."""
FAILS_GUIDED = 3.0
"""The least to be wrong where guidance drew the samples: sound models reach half of it."""
MORE = "Take more images (--images), or images of your own (--folder)."
GUIDED = "Guidance leaves the model's own distribution: take --guidance 1, or --folder."


def check_times(probes: Sequence[Probe], images: str, *, guided: bool = False) -> Finding:
    """Compare the error at the told time with those at other times.

    Each level of noise counts alike (geometric means of quotients). It is right if the error is at
    most 1.1 times the least over all that was told, and the reversed time costs a factor of 1.2;
    wrong if it is more than 1.3 times the least, or 3 times where samples are guided.

    Args:
        probes: Samples at each of :data:`LEVELS`.
        images: Of which images.
        guided: Whether they were drawn with guidance.
    """
    denoiser = probes[0].denoiser
    told = {name: list(times) for name, times in _told(denoiser).items()}
    grid = denoiser.at(GRID).timestep
    own = [probe.error() for probe in probes]
    curves = [[probe.error(time) for time in grid] for probe in probes]
    others = {
        name: [probe.error(time) for probe, time in zip(probes, times, strict=True)]
        for name, times in told.items()
    }
    rows = zip(own, curves, *others.values(), strict=True)
    least = [min(error, *curve, *rest) for error, curve, *rest in rows]
    excess = _mean_quotient(own, least)
    costs = {
        name: _mean_quotient(errors, own)
        for name, errors in others.items()
        if all(map(isfinite, errors))
    }
    best_times = [float(GRID[curve.index(min(curve))]) for curve in curves]
    ranked = sorted(costs, key=costs.__getitem__)
    best, second = ranked[0], next(name for name in ranked if name != "reversed")
    said = (
        f"error {excess:.2f} times the least at any told time; noise of times "
        f"{_listed(map(float, LEVELS))} errs least told {_listed(best_times)}; the error is "
        f"{costs.get('reversed', inf):.2g} times as large told the time reversed, "
        f"{costs[second]:.2g} times {second}"
    )
    figures: dict[str, Figure] = {"excess": excess, "costs": costs, "best_times": best_times}
    verdict, advice = Verdict.UNDECIDED, GUIDED if guided else MORE
    if excess > (FAILS_GUIDED if guided else FAILS):
        verdict = Verdict.WRONG
        alike = costs[best] * excess < FAILS
        hint = f"It errs least told the time {best}" if alike else "It errs less told other times"
        advice = f"{hint}: look at `timestep` and `scales` of the schedule, and at `forward`."
    elif costs.get("reversed", inf) < HEEDS:
        advice = "The network hardly heeds the time, so that this says little."
    elif excess <= FITS:
        verdict, advice = Verdict.RIGHT, ""
    return Finding("time", verdict, said, advice, images, figures)


def _told(denoiser: Denoiser) -> Mapping[str, Tensor]:
    """What the network may wrongly be told at each level, by what is wrong."""
    right = denoiser.at(LEVELS).timestep
    wrong = {"reversed": denoiser.at([1 - level for level in LEVELS]).timestep}
    for shift in (3, Fraction(1, 3)):
        shifted = [shift * level / (1 + (shift - 1) * level) for level in LEVELS]
        wrong[f"shifted by {float(shift):.2g}"] = denoiser.at(shifted).timestep
    limits = denoiser.at([Fraction(0), Fraction(999_999, 1_000_000)]).timestep.tolist()
    for factor in FACTORS:
        scaled = right.double() * factor
        if not right.is_floating_point():
            scaled = scaled.round()
            if not _sinusoidal(denoiser):  # a table has a row a step, and no more
                scaled = scaled.clamp(*limits)
        if len(scaled.unique()) == len(LEVELS):
            wrong[f"multiplied by {factor:g}"] = scaled.to(right.dtype)
    return wrong


def _sinusoidal(denoiser: Denoiser) -> bool:
    """Whether the network takes times of any size."""
    config = getattr(denoiser.network, "config", None)
    return config is not None and config.get("time_embedding_type", "positional") != "learned"


def _mean_quotient(errors: Sequence[float], others: Sequence[float]) -> float:
    """Geometric mean of errors over other errors."""
    tiny = torch.finfo(torch.float32).tiny
    pairs = zip(errors, others, strict=True)
    return exp(fmean(log(max(a, tiny) / max(b, tiny)) for a, b in pairs))


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:.2f}" for number in numbers)
