import math
from dataclasses import replace

import pytest
import torch
from running import table_of

from diffclf_lightning import (
    ExponentialWeight,
    InputError,
    MeanError,
    PiecewiseWeight,
    RelativeToReference,
    UniformWeight,
    WeightedError,
)
from diffclf_lightning.denoisers import FlowMatching
from diffclf_lightning.evaluation import GoldenGrid, TimeWeight

TIMES = GoldenGrid().order((8,))[0]
WEIGHTS = {
    "uniform": (UniformWeight(), lambda t: 1.0),
    "exponential": (ExponentialWeight(7), lambda t: math.exp(-7 * t)),
    "piecewise": (PiecewiseWeight([1, 0, 3, 2]), lambda t: [1, 0, 3, 2][int(4 * t)]),
}


@pytest.fixture
def table(seed):
    """Two images of three candidates; one was pruned after three of eight trials."""
    errors = torch.rand(2, 3, 8)
    errors[0, 1, 3:] = errors[1, 0, 3:] = torch.nan
    return table_of(FlowMatching()(TIMES), l2=errors)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weighted_scores_equal_a_plain_loop(table, name):
    weight, formula = WEIGHTS[name]
    scored = table.scored(WeightedError(weight, "l2"))
    dense = table.dense("l2")
    for i in range(2):
        for c in range(3):
            errors = dense[i, c][~dense[i, c].isnan()].tolist()
            expected = [formula(float(t)) * e for t, e in zip(TIMES, errors, strict=False)]
            mean = sum(expected) / len(expected)
            assert scored.means[i, c].item() == pytest.approx(mean, rel=1e-5)


def test_a_uniform_weight_is_the_plain_mean(table):
    uniform = WeightedError(UniformWeight(), "l2")
    assert torch.equal(uniform(table), MeanError("l2")(table))


def test_a_weight_may_depend_on_alpha_and_sigma(table):
    """x_0 errors of a flow are sigma^2 / alpha^2 those of the noise."""

    class OfTheNoise(TimeWeight):
        def __call__(self, timesteps):
            return timesteps.sigma**2 / timesteps.alpha**2

    scored = table.scored(WeightedError(OfTheNoise(), "l2"))
    times = torch.tensor([float(t) for t in TIMES], dtype=torch.float64)
    expected = (table.dense("l2")[0, 0] * times**2 / (1 - times) ** 2).mean()
    assert scored.means[0, 0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_relative_scores_subtract_the_reference_trial_by_trial(table):
    reference = torch.rand(2, 1, 8)
    with_it = replace(table, reference=table_of(table.timesteps, l2=reference))
    for score in (MeanError("l2"), WeightedError(ExponentialWeight(), "l2")):
        relative = RelativeToReference(score)
        assert relative.losses == ("l2",)
        weights = (-7 * table.timesteps.time).exp() if score.name != "l2" else 1
        expected = ((table.dense("l2") - reference) * weights).nanmean(dim=-1)
        assert torch.allclose(with_it.scored(relative).means.float(), expected, atol=1e-6)
        assert torch.equal(with_it.scored(relative).best, table.scored(score).best)


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [math.inf, 1], [math.nan]])
def test_weights_that_are_none_are_named(weights):
    with pytest.raises(InputError, match="`weights`"):
        PiecewiseWeight(weights)
