"""Learned weights against plain formulas and other optimisers."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from diffclf_lightning.metrics import fit_time_weights, one_trial_a_part, softmax_regression
from diffclf_lightning.metrics.time_weights import RIDGES

IMAGES, REPEATS, CANDIDATES, PARTS = 40, 2, 4, 3


@pytest.fixture
def told(seed):
    """Errors that fall on the true candidates, in some parts more; images differ in candidates."""
    errors = torch.randn(IMAGES, REPEATS, CANDIDATES, PARTS).double().numpy()
    own = np.eye(CANDIDATES, dtype=bool)[np.arange(IMAGES) % CANDIDATES]
    own[::5, 0] = True  # of two candidates
    errors -= own[:, None, :, None] * [1.5, 0.0, 0.5]
    errors[1::4, :, 3] = np.nan
    own[1::4, 3] = False
    return errors, own


def likelihood(weights, errors, own):
    """Mean negative log-likelihood, image by image, candidate by candidate."""
    total = 0.0
    for image, mine in zip(errors, own, strict=True):
        for repeat in image:
            there = [c for c in range(len(mine)) if not math.isnan(repeat[c][0])]
            shares = {
                c: math.exp(-sum(v * b for v, b in zip(weights, repeat[c], strict=True)))
                for c in there
            }
            total -= math.log(sum(shares[c] for c in there if mine[c]) / sum(shares.values()))
    return total / (len(errors) * errors.shape[1])


def by_slsqp(errors, own, ridge):
    """The same regression by another optimiser, without derivatives."""
    found = minimize(
        lambda v: likelihood(v, errors, own) + ridge * sum(v**2),
        np.ones(PARTS), method="SLSQP", bounds=[(0, None)] * PARTS, options={"ftol": 1e-10},
    )  # fmt: skip
    return found.x


@pytest.mark.parametrize("ridge", [0.5, 0.01])
def test_regression_has_the_lowest_penalised_likelihood(told, ridge):
    errors, own = told
    found = softmax_regression(errors, own, ridge)
    assert found == pytest.approx(by_slsqp(errors, own, ridge), abs=2e-3)
    assert found.min() >= 0


def test_no_weight_falls_below_zero(told):
    """The conditions of Karush, Kuhn and Tucker, with derivatives by torch."""
    errors, own = told
    errors[..., 1] *= -1
    errors[..., 1] += own[:, None] * 0.7  # higher for the truth: a negative weight would help
    found = softmax_regression(errors, own, 0.01)
    weights = torch.tensor(found, requires_grad=True)
    logits = -(torch.tensor(errors).nan_to_num() @ weights)
    logits = logits.masked_fill(torch.tensor(errors[..., 0]).isnan(), -torch.inf)
    true = logits.masked_fill(~torch.tensor(own)[:, None], -torch.inf)
    value = (logits.logsumexp(2) - true.logsumexp(2)).mean() + 0.01 * weights.square().sum()
    value.backward()
    assert found[1] == 0
    assert weights.grad[1] > 0
    assert weights.grad[[0, 2]].abs().max() < 1e-4


def test_weights_are_of_the_ridge_under_which_others_are_likeliest(told):
    errors, own = told
    centred = errors - np.nanmean(errors, axis=2, keepdims=True)
    scaled = centred / np.nanstd(centred)
    fold = np.arange(IMAGES) % 5
    left_out = [
        sum(
            likelihood(by_slsqp(scaled[fold != k], own[fold != k], ridge), scaled[fold == k],
                       own[fold == k])
            for k in range(5)
        )
        for ridge in RIDGES
    ]  # fmt: skip
    expected = by_slsqp(scaled, own, RIDGES[int(np.argmin(left_out))])
    expected = np.maximum(expected, expected.max() / 1000)
    assert fit_time_weights(errors, own) == pytest.approx(expected / expected.mean(), abs=0.01)


def test_units_and_what_all_candidates_share_change_nothing(told, seed):
    errors, own = told
    moved = 1e-4 * errors + 7 + torch.randn(IMAGES, REPEATS, 1, PARTS).numpy()
    assert fit_time_weights(moved, own) == pytest.approx(fit_time_weights(errors, own), rel=1e-3)


def test_images_without_their_class_say_nothing(told):
    errors, own = told
    more = np.concatenate([errors, 50 * errors[:7]])
    none = np.concatenate([own, np.zeros_like(own[:7])])
    assert fit_time_weights(more, none) == pytest.approx(fit_time_weights(errors, own))


def test_errors_that_say_nothing_leave_weights_alike(told):
    errors, own = told
    for nothing in (np.zeros_like(errors), own[:, None, :, None] * np.ones_like(errors)):
        assert fit_time_weights(nothing, own).tolist() == [1, 1, 1]
    assert fit_time_weights(errors, np.zeros_like(own)).tolist() == [1, 1, 1]


def test_each_repeat_has_one_trial_of_each_part():
    values = torch.arange(2 * 3 * 5).reshape(2, 3, 5)
    place = [1, 0, 1, 1, 0]  # part 0 has trials 1 and 4, part 1 has 0, 2 and 3
    repeats = one_trial_a_part(values, place)
    assert repeats.shape == (2, 3, 3, 2)
    for repeat, (first, second) in enumerate([(1, 0), (4, 2), (1, 3)]):
        assert torch.equal(repeats[:, repeat, :, 0], values[:, :, first])
        assert torch.equal(repeats[:, repeat, :, 1], values[:, :, second])
