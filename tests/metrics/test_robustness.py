import numpy as np
import pytest
import torch
from scipy.special import expit, logit
from scipy.stats import linregress

from diffclf_lightning import InputError
from diffclf_lightning.metrics import (
    Accuracy,
    Broken,
    EffectiveRobustness,
    Hinged,
    Straight,
    as_fractions,
    bootstrap_band,
    effective_robustness,
    get_scale,
)


@pytest.fixture
def baselines(seed):
    generator = np.random.default_rng(seed)
    x = generator.uniform(0.5, 0.95, 30)
    y = expit(0.9 * logit(x) - 0.6 + generator.normal(scale=0.1, size=30))
    return x.tolist(), y.tolist()


@pytest.mark.parametrize("name", ["logit", "probit", "linear"])
def test_scales_are_monotone_and_inverted(name, seed):
    scale = get_scale(name)
    p = np.sort(np.random.default_rng(seed).uniform(0.01, 0.99, 50))
    assert (np.diff(scale(p)) > 0).all()
    assert scale.inverse(scale(p)) == pytest.approx(p)
    step = 1e-6
    slope = 2 * step / (scale(p + step) - scale(p - step))
    assert scale.derivative(p) == pytest.approx(slope, rel=1e-4)


def test_standard_error_is_that_of_simulated_accuracies(baselines, seed):
    """Both accuracies drawn again and again, and the line from its sampling distribution."""
    x, y = baselines
    n_id, n_ood, id, ood = 2000, 7500, 0.8, 0.62
    fit = Straight().fit(x, y)
    result = effective_robustness(fit, Accuracy(id, n_id), Accuracy(ood, n_ood))
    line = linregress(logit(x), logit(y))
    generator = np.random.default_rng(seed)
    draws = 200_000
    ids = generator.binomial(n_id, id, draws) / n_id
    oods = generator.binomial(n_ood, ood, draws) / n_ood
    covariance = -np.mean(logit(x)) * line.stderr**2
    slopes, intercepts = generator.multivariate_normal(
        [line.slope, line.intercept],
        [[line.stderr**2, covariance], [covariance, line.intercept_stderr**2]],
        draws,
    ).T
    simulated = oods - expit(intercepts + slopes * logit(ids))
    assert result.standard_error == pytest.approx(simulated.std(), rel=0.03)
    assert result.effective == pytest.approx(simulated.mean(), abs=5e-4)
    width = 1.959964 * result.standard_error
    assert result.interval.upper == pytest.approx(result.effective + width)
    assert result.interval.lower == pytest.approx(result.effective - width)


def test_published_formula_on_the_logit_scale(baselines):
    fit = Straight().fit(*baselines)
    id, ood, n_id, n_ood = 0.775, 0.646, 10_000, 10_000
    result = effective_robustness(fit, Accuracy(id, n_id), Accuracy(ood, n_ood))
    p = result.predicted
    g = fit.slope * p * (1 - p) / (id * (1 - id))
    variance = (
        ood * (1 - ood) / n_ood
        + g**2 * id * (1 - id) / n_id
        + (p * (1 - p) * fit.standard_error(id)) ** 2
    )
    assert result.standard_error == pytest.approx(variance**0.5)


def test_a_prediction_outside_of_the_baselines_is_marked(baselines):
    fit = Straight().fit(*baselines)
    low, high = min(baselines[0]), max(baselines[0])
    for id, outside in ((low, False), (high, False), (low - 0.01, True), (high + 0.01, True)):
        assert effective_robustness(fit, Accuracy(id), Accuracy(0.5)).extrapolates is outside


def test_models_at_the_break_are_in_neither_line_and_predicted_by_the_lower():
    id, ood = [0.5, 0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.9, 0.4, 0.8]
    fit = Broken(0.7).fit(id, ood)
    below = linregress(logit(id[:2]), logit(ood[:2]))
    above = linregress(logit(id[3:]), logit(ood[3:]))
    assert fit.below.slope == pytest.approx(below.slope)
    assert fit.above.intercept == pytest.approx(above.intercept)
    assert fit.predict(0.7) == pytest.approx(expit(below.intercept + below.slope * logit(0.7)))


@pytest.mark.parametrize(
    ("id", "ood", "message"),
    [
        (
            [0.8, 0.9, 0.95],
            [0.1, 0.2, 0.3],
            "at least 2 baselines below the break at 0.7, but got 0",
        ),
        (
            [0.5, 0.6, 0.9],
            [0.1, 0.2, 0.3],
            "at least 2 baselines above the break at 0.7, but got 1",
        ),
        (
            [0.5, 0.5, 0.8, 0.9],
            [0.1, 0.2, 0.3, 0.4],
            "below the break at 0.7, but the 2 have 0.5",
        ),
    ],
)
def test_a_side_without_a_line_is_named(id, ood, message):
    with pytest.raises(InputError, match=message):
        Broken(0.7).fit(id, ood)


def test_zero_at_the_break_itself_does_no_harm():
    fit = Broken(0.7).fit([0.5, 0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.0, 0.4, 0.8])
    assert fit.below.count == fit.above.count == 2


@pytest.mark.parametrize("scale", ["logit", "probit"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_infinite_accuracies_are_refused_with_a_remedy(scale, value):
    curve = Straight(get_scale(scale))
    with pytest.raises(
        InputError, match=f"between 0 and 1 on the {scale} scale, but got {value:g}"
    ):
        curve.fit([0.5, 0.6, 0.7], [0.5, value, 0.6])
    fit = curve.fit([0.5, 0.6, 0.7], [0.5, 0.55, 0.6])
    with pytest.raises(InputError, match="Leave such models out, smooth them"):
        effective_robustness(fit, Accuracy(value, 10), Accuracy(0.5, 10))


def test_extremes_are_ordinary_on_the_linear_scale():
    fit = Straight(get_scale("linear")).fit([0.0, 1.0], [0.0, 1.0])
    assert fit.predict(0.25) == pytest.approx(0.25)


def test_baselines_that_are_all_alike_out_of_distribution_explain_nothing():
    for level in (0.5, 0.3, 0.123, 0.9):
        assert Straight().fit([0.5, 0.6, 0.7, 0.8], [level] * 4).r_squared == 0


@pytest.mark.parametrize("percent", [70.01, 91.86, 76.13, 33.57])
def test_a_model_at_a_break_in_percent_is_in_neither_line(percent):
    """Though dividing by 100 twice is not dividing by 10,000."""
    own = round(100 * percent) / 10_000
    id, ood = [0.1, 0.2, own, 0.95, 0.99], [0.1, 0.2, 0.5, 0.4, 0.8]
    fit = Broken(percent / 100).fit(id, ood)
    assert fit.below.count == fit.above.count == 2
    assert fit.piece(own) is fit.below


@pytest.mark.parametrize("weights", [[1, 1], [1, 0, 1], [1, -1, 1], [1, float("nan"), 1]])
def test_weights_that_are_none_are_named(weights):
    with pytest.raises(InputError, match="`weights` to have 3 finite values above 0"):
        Straight().fit([0.5, 0.6, 0.7], [0.4, 0.5, 0.6], weights=weights)


def test_hinge_needs_three_different_accuracies():
    with pytest.raises(InputError, match=r"3 different .* but the 4 have 0\.5, 0\.8"):
        Hinged(0.6).fit([0.5, 0.5, 0.8, 0.8], [0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("columns", [([50, 0.7],), ([50, 60], [0.5, 70]), ([77.0], [0.64])])
def test_mixed_units_are_refused(columns):
    with pytest.raises(
        InputError, match=r"all in percent or all as fractions, but got 0\.\d+ beside"
    ):
        as_fractions(*columns)


@pytest.mark.parametrize("value", [-0.1, 101, float("nan"), float("inf")])
def test_impossible_accuracies_are_refused(value):
    with pytest.raises(InputError, match="from 0 to 1, or 0 to 100 percent"):
        as_fractions([0.5, value])
    with pytest.raises(InputError, match="from 0 to 1 and at least one image"):
        Accuracy(value)


def test_zero_is_zero_in_either_unit():
    assert as_fractions([0, 50])[0].tolist() == [0, 0.5]
    assert as_fractions([0, 1])[0].tolist() == [0, 1]


def test_unknown_scale_is_named():
    with pytest.raises(InputError, match="logit, probit, linear, but got 'log'"):
        get_scale("log")


def test_band_covers_the_true_line_and_is_wider_by_family(seed):
    """Twenty members that share a deviation of their family tell no more than a few models."""
    generator = np.random.default_rng(seed)
    families = np.repeat(np.arange(12), 20)
    x = np.repeat(generator.uniform(0.5, 0.95, 12), 20)
    x = np.clip(x + generator.normal(scale=0.005, size=240), 0.4, 0.97)
    deviation = np.repeat(generator.normal(scale=0.2, size=12), 20)
    y = expit(0.9 * logit(x) - 0.6 + deviation)
    at = [0.6, 0.75, 0.9]
    by_family = bootstrap_band(Straight(), x.tolist(), y.tolist(), families.tolist(), at, 300)
    alone = bootstrap_band(Straight(), x.tolist(), y.tolist(), range(240), at, 300)
    assert (by_family.upper - by_family.lower > 1.5 * (alone.upper - alone.lower)).all()
    fitted = Straight().fit(x.tolist(), y.tolist())
    for value, low, high in zip(at, by_family.lower, by_family.upper, strict=True):
        assert low <= fitted.predict(value) <= high


def test_band_has_the_width_of_the_sampling_distribution(seed):
    """With one model a family the band is the usual one of a regression, about."""
    generator = np.random.default_rng(seed)
    x = np.linspace(0.5, 0.95, 400)
    y = expit(0.9 * logit(x) - 0.6 + generator.normal(scale=0.15, size=400))
    at = [0.6, 0.75, 0.9]
    band = bootstrap_band(Straight(), x.tolist(), y.tolist(), range(400), at, 1500)
    fit = Straight().fit(x.tolist(), y.tolist())
    intervals = [fit.mean_interval(value) for value in at]
    widths = [interval.upper - interval.lower for interval in intervals]
    assert (band.upper - band.lower).mean() == pytest.approx(np.mean(widths), rel=0.13)


def test_resamples_without_a_line_are_counted():
    band = bootstrap_band(Straight(), [0.5, 0.6], [0.4, 0.5], ["a", "b"], [0.55], 100)
    assert band.repeats + band.degenerate == 100
    assert 20 < band.degenerate < 80


def test_one_family_has_no_band():
    with pytest.raises(InputError, match="two families"):
        bootstrap_band(Straight(), [0.5, 0.6], [0.4, 0.5], ["a", "a"], [0.55])


def test_metric_counts_over_batches_and_ranks(baselines, seed):
    fit = Straight().fit(*baselines)
    ranks = [EffectiveRobustness(fit) for _ in range(2)]
    counts = np.zeros((2, 2), dtype=int)
    for rank in ranks:
        for ood in (False, True, True):
            labels, predictions = torch.randint(3, (40,)), torch.randint(3, (40,))
            rank.update(predictions, labels, ood=ood)
            counts[int(ood)] += [int((labels == predictions).sum()), 40]
    merged, other = ranks
    merged.merge_state(other)
    values = merged.compute()
    id, ood = counts[:, 0] / counts[:, 1]
    line = linregress(logit(baselines[0]), logit(baselines[1]))
    predicted = expit(line.intercept + line.slope * logit(id))
    assert values["effective_robustness"].item() == pytest.approx(ood - predicted)
    assert values["id_accuracy"].item() == pytest.approx(id)
    assert values["standard_error"] > 0


def test_metric_refuses_shapes_that_differ(baselines):
    metric = EffectiveRobustness(Straight().fit(*baselines))
    with pytest.raises(InputError, match=r"one shape, but got \(3,\) and \(2,\)"):
        metric.update(torch.zeros(3), torch.zeros(2), ood=False)
