r"""Prediction: whether the network's output is what the schedule takes it for, sign included.

Samples get known noise, so that noise, ``x_0`` and velocity are all known, and the output is
compared with each and with its opposite by the cosine between them, averaged over images and times.
A cosine does not mind a wrong scale of the time or of ``x_0``, which other checks look at.

An output that the input is added to, as preconditioned networks of EDM do, is near its target
whatever the network says. So what is *new* in it, at a right angle to ``x_t``, is compared too.
"""

from collections.abc import Sequence
from math import inf

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from diffclf_lightning.selfcheck.findings import Figure, Finding, Verdict
from diffclf_lightning.selfcheck.probe import Probe

ENOUGH, AHEAD, SAME = 0.5, 0.05, 0.98
"""Least cosine with the own target, its lead over others, and what makes two of them one."""
NEW = 0.2
"""Least cosine of what is new, and below the opposite of which it is wrong."""


def check_prediction(probes: Sequence[Probe], images: str) -> Finding:
    """Which of noise, ``x_0`` and velocity, or their opposites, the output is nearest to.

    It is right if the own target has a cosine of at least 0.5 and leads by 0.05, and what is new in
    the output has one of 0.2 with what is new in the target. It is wrong if another leads by as
    much, or if what is new has a cosine of -0.2 or less.

    Args:
        probes: Samples at several levels of noise.
        images: Of which images.
    """
    totals: dict[str, float] = {}
    new = 0.0
    kinship: dict[str, float] = {}
    for probe in probes:
        output, noised, own = probe.output(), probe.noised, probe.target
        x_t = noised.x_t
        new += _cosine(_beside(output, x_t), _beside(own, x_t)) / len(probes)
        others = {"noise": noised.noise, "x_0": noised.x_0, "velocity": noised.velocity}
        for name, known in {"own": own, **others}.items():
            totals[name] = totals.get(name, 0.0) + _cosine(output, known) / len(probes)
            kinship[name] = kinship.get(name, 0.0) + _cosine(own, known) / len(probes)
    own_cosine = totals["own"]
    alike = [name for name in kinship if name != "own" and abs(kinship[name]) > SAME]
    named = "target"  # of a family that has its own
    if alike:
        named = f"{'-' * (kinship[alike[0]] < 0)}{alike[0]}"
    rivals = {f"-{named}".removeprefix("--"): -own_cosine}
    for name, cosine in totals.items():
        if name != "own" and abs(kinship[name]) <= SAME:
            rivals |= {name: cosine, f"-{name}": -cosine}
    best = max(rivals.values())
    nearest = next(name for name, cosine in rivals.items() if cosine > best - AHEAD)
    errors = [probe.error() for probe in probes]
    said = (
        f"cosine with the {named} that it should say {own_cosine:.2f}, with the next, {nearest}, "
        f"{best:.2f}; of what is new {new:.2f}; error {min(errors):.2g} to {max(errors):.2g} of "
        "that of saying nothing"
    )
    figures: dict[str, Figure] = {named: own_cosine, **rivals, "new": new}
    figures["relative_errors"] = errors
    if inf in errors:
        said, advice = "the network gives numbers that are not finite", "Take another --dtype."
        return Finding("prediction", Verdict.WRONG, said, advice, images)
    verdict, advice = Verdict.UNDECIDED, "Are the weights trained, and the images such as it knows?"
    if own_cosine >= ENOUGH and own_cosine - best >= AHEAD and new >= NEW:
        verdict, advice = Verdict.RIGHT, ""
    elif best - own_cosine >= AHEAD:
        verdict = Verdict.WRONG
        advice = (
            f"The output looks like {nearest}: look at `prediction_type` of the scheduler's "
            "configuration, and at target and sign of the schedule of this family."
        )
    elif new <= -NEW:
        verdict = Verdict.WRONG
        advice = (
            "What the network adds to its input is the opposite of what it should: look at the "
            "sign of its output in `forward`, and at what it is scaled by."
        )
    return Finding("prediction", verdict, said, advice, images, figures)


def _beside(values: Tensor, x_t: Tensor) -> Tensor:
    """Values of samples less what is along ``x_t``."""
    rows, along = values.float().flatten(1), x_t.flatten(1)
    share = (rows * along).sum(1, keepdim=True) / along.square().sum(1, keepdim=True)
    return rows - share * along


def _cosine(output: Tensor, known: Tensor) -> float:
    """Mean cosine of samples."""
    cosines: Tensor = cosine_similarity(output.flatten(1), known.float().flatten(1))
    return float(torch.nan_to_num(cosines).mean())
