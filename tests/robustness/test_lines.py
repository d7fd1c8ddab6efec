"""Scales, lines, bands and effective robustness, against SciPy and simulation."""

import tracemalloc

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import linregress
from scipy.stats import t as student

from diffclf_lightning import InputError
from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.robustness import (
    Line,
    PiecewiseLinear,
    effective_robustness,
    get_scale,
    lines,
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
    result = effective_robustness(Line(x, y), Accuracy(id, n_id), Accuracy(ood, n_ood))
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
    line = Line(*baselines)
    id, ood, n_id, n_ood = 0.775, 0.646, 10_000, 10_000
    result = effective_robustness(line, Accuracy(id, n_id), Accuracy(ood, n_ood))
    p = result.predicted
    g = line.slope * p * (1 - p) / (id * (1 - id))
    variance = (
        ood * (1 - ood) / n_ood
        + g**2 * id * (1 - id) / n_id
        + (p * (1 - p) * line.standard_error(id)) ** 2
    )
    assert result.standard_error == pytest.approx(variance**0.5)


def test_a_prediction_outside_of_the_baselines_is_marked(baselines):
    line = Line(*baselines)
    low, high = min(baselines[0]), max(baselines[0])
    for id, outside in ((low, False), (high, False), (low - 0.01, True), (high + 0.01, True)):
        assert effective_robustness(line, Accuracy(id), Accuracy(0.5)).extrapolates == outside


def test_text_is_in_points_without_a_negative_zero():
    line = Line([0.5, 0.6, 0.8], [0.4, 0.55, 0.7])
    at = line.predict(0.7)
    assert str(effective_robustness(line, Accuracy(0.7), Accuracy(at - 1e-6))) == "+0.0 [unknown]"
    result = effective_robustness(line, Accuracy(0.7, 500), Accuracy(at + 0.1, 500))
    low, high = result.interval.lower, result.interval.upper
    assert str(result) == f"+10.0 [{100 * low:+.1f}, {100 * high:+.1f}]"


@pytest.mark.parametrize("percent", [70.0, 70.01, 91.86, 76.13, 33.57])
def test_models_at_the_break_are_in_neither_line_and_predicted_by_the_lower(percent):
    """Though dividing by 100 twice is not dividing by 10,000; a 0 there does no harm."""
    own = round(100 * percent) / 10_000
    id, ood = [0.1, 0.2, own, 0.95, 0.99], [0.1, 0.2, 0.0, 0.4, 0.8]
    fit = PiecewiseLinear(id, ood, percent / 100)
    below = linregress(logit(id[:2]), logit(ood[:2]))
    above = linregress(logit(id[3:]), logit(ood[3:]))
    assert fit.pieces["below"].slope == pytest.approx(below.slope)
    assert fit.pieces["above"].intercept == pytest.approx(above.intercept)
    predicted = expit(below.intercept + below.slope * logit(own))
    assert fit.piece(own).predict(own) == pytest.approx(predicted)


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ([0.8, 0.85, 0.9, 0.95], r"2 baselines below the break at 0\.7, but got 0"),
        ([0.5, 0.55, 0.6, 0.9], r"2 baselines above the break at 0\.7, but got 1"),
        ([0.5, 0.5, 0.8, 0.9], r"below the break at 0\.7, but the 2 have 0\.5"),
    ],
)
def test_a_side_without_a_line_is_named(id, message):
    with pytest.raises(InputError, match=message):
        PiecewiseLinear(id, [0.1, 0.2, 0.3, 0.4], 0.7)


@pytest.mark.parametrize("name", ["logit", "probit"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_infinite_accuracies_are_refused_with_a_remedy(name, value):
    scale = get_scale(name)
    with pytest.raises(InputError, match=f"{name} scale, but got {value:g}"):
        Line([0.5, 0.6, 0.7], [0.5, value, 0.6], scale)
    line = Line([0.5, 0.6, 0.7], [0.5, 0.55, 0.6], scale)
    with pytest.raises(InputError, match="linear scale"):
        effective_robustness(line, Accuracy(value, 10), Accuracy(0.5, 10))


def test_extremes_are_ordinary_on_the_linear_scale():
    assert Line([0.0, 1.0], [0.0, 1.0], get_scale("linear")).predict(0.25) == pytest.approx(0.25)


def test_percent_is_refused():
    with pytest.raises(InputError, match="linear scale, but got 60"):
        Line([60, 70], [50, 60], get_scale("linear"))
    for value in (-0.1, 60, float("nan"), float("inf")):
        with pytest.raises(InputError, match=f"value={value}"):
            Accuracy(value)


@pytest.mark.parametrize("level", [0.5, 0.3, 0.123, 0.9])
def test_baselines_that_are_all_alike_out_of_distribution_explain_nothing(level):
    assert Line([0.5, 0.6, 0.7, 0.8], [level] * 4).r_squared == 0


def test_unknown_scale_is_named():
    with pytest.raises(InputError, match=r"`scale`.*'log'"):
        get_scale("log")


def test_band_is_the_quantiles_of_lines_over_resampled_families(seed):
    """The same resamples, fitted one by one by SciPy."""
    generator = np.random.default_rng(seed)
    families = generator.integers(6, size=25).tolist()
    x = generator.uniform(0.5, 0.95, 25)
    y = expit(0.9 * logit(x) - 0.6 + generator.normal(scale=0.3, size=25))
    band = Line(x, y).band(families, repeats=50, seed=3)
    names, draws = list(dict.fromkeys(families)), np.random.default_rng(3)
    lines = []
    for _ in range(50):
        drawn = draws.integers(len(names), size=len(names))
        chosen = [i for k in drawn for i, family in enumerate(families) if family == names[k]]
        if np.ptp(x[chosen]) > 0:
            fitted = linregress(logit(x[chosen]), logit(y[chosen]))
            lines.append(fitted.intercept + fitted.slope * band.x)
    assert band.degenerate == 50 - len(lines)
    assert band.lower == pytest.approx(np.percentile(lines, 2.5, axis=0))
    assert band.upper == pytest.approx(np.percentile(lines, 97.5, axis=0))


def test_band_of_many_baselines_is_drawn_in_parts(baselines, monkeypatch):
    """What is held at once does not grow with the resamples, and they stay the same ones."""
    whole = Line(*baselines).band(range(30), repeats=100)
    monkeypatch.setattr(lines, "AT_ONCE", 7 * 30)
    parts = Line(*baselines).band(range(30), repeats=100)
    assert parts.lower == pytest.approx(whole.lower)
    assert parts.upper == pytest.approx(whole.upper)
    x = np.linspace(0.5, 0.95, 20_000)
    tracemalloc.start()
    try:
        Line(x, x**2).band(range(20_000), repeats=500)
        assert tracemalloc.get_traced_memory()[1] < 500 * 20_000 * 8 / 4
    finally:
        tracemalloc.stop()


def test_band_is_wider_by_family(seed):
    """Twenty members that share a deviation of their family tell no more than a few models."""
    generator = np.random.default_rng(seed)
    families = np.repeat(np.arange(12), 20)
    x = np.repeat(generator.uniform(0.5, 0.95, 12), 20)
    x = np.clip(x + generator.normal(scale=0.005, size=240), 0.4, 0.97)
    y = expit(0.9 * logit(x) - 0.6 + np.repeat(generator.normal(scale=0.2, size=12), 20))
    line = Line(x, y)
    by_family, alone = line.band(families.tolist(), 300), line.band(range(240), 300)
    assert np.median((by_family.upper - by_family.lower) / (alone.upper - alone.lower)) > 1.5
    fitted = line.intercept + line.slope * by_family.x
    assert ((by_family.lower <= fitted) & (fitted <= by_family.upper)).all()


def test_band_has_the_width_of_the_sampling_distribution(seed):
    """With one model a family the band is the usual one of a regression, about."""
    generator = np.random.default_rng(seed)
    x = np.linspace(0.5, 0.95, 400)
    y = expit(0.9 * logit(x) - 0.6 + generator.normal(scale=0.15, size=400))
    line = Line(x, y)
    band = line.band(range(400), 1500)
    errors = [line.standard_error(id) for id in expit(band.x)]
    widths = 2 * student.ppf(0.975, 398) * np.array(errors)
    assert (band.upper - band.lower).mean() == pytest.approx(widths.mean(), rel=0.13)


def test_resamples_without_a_line_are_counted():
    """Of two models, half of the resamples hold one of them alone."""
    band = Line([0.5, 0.6], [0.4, 0.5]).band(["a", "b"], 100)
    assert 20 < band.degenerate < 80


def test_one_family_has_no_band():
    with pytest.raises(InputError, match="two families"):
        Line([0.5, 0.6], [0.4, 0.5]).band(["a", "a"])
