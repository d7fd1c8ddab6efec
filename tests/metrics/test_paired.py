"""Paired counts against scipy, brute force and the definition of the interval."""

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm

from diffclf_lightning import InputError
from diffclf_lightning.metrics import PairedCounts, holm

TABLES = [(480, 12, 4, 4), (36, 12, 2, 0), (43, 0, 1, 0), (0, 3, 2, 5), (900, 60, 31, 9)]


@pytest.mark.parametrize(("b", "c"), list(product(range(7), repeat=2)))
def test_p_value_is_the_exact_binomial(b, c):
    p_value = PairedCounts(5, b, c, 1).p_value
    n = b + c
    seen = comb(n, b)
    assert p_value == pytest.approx(
        sum(comb(n, k) for k in range(n + 1) if comb(n, k) <= seen) / 2**n
    )
    if n:
        assert p_value == pytest.approx(binomtest(b, n).pvalue)


def test_a_p_value_of_many_images():
    assert PairedCounts(40_000, 3000, 2500, 4500).p_value == pytest.approx(
        binomtest(3000, 5500).pvalue, rel=1e-6
    )


def log_likelihood(table, difference, second):
    """Of the three cells that matter, under a difference and a chance of the second alone."""
    both_or_neither = table[0] + table[3]
    cells = [second + difference, second, 1 - 2 * second - difference]
    counts = [table[1], table[2], both_or_neither]
    return sum(n * np.log(max(p, 1e-300)) for n, p in zip(counts, cells, strict=True) if n)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_ends_of_the_interval_are_where_the_score_statistic_has_its_quantile(table, alpha):
    counts = PairedCounts(*table)
    interval = counts.interval(alpha)
    assert -1 < interval.lower < counts.difference < interval.upper < 1
    for end in (interval.lower, interval.upper):
        second = minimize_scalar(
            lambda s, end=end: -log_likelihood(table, end, s),
            bounds=(max(0, -end), (1 - end) / 2), method="bounded", options={"xatol": 1e-12},
        ).x  # fmt: skip
        variance = (2 * second + end - end**2) / counts.total
        statistic = (counts.difference - end) / variance**0.5
        assert abs(statistic) == pytest.approx(norm.ppf(1 - alpha / 2), rel=1e-3)


@pytest.mark.parametrize("table", [*TABLES, (7, 0, 0, 0), (0, 0, 0, 7), (3, 0, 0, 4), (0, 7, 0, 0)])
def test_interval_is_antisymmetric_and_never_of_no_width(table):
    there, back = (
        PairedCounts(*table).interval(),
        PairedCounts(*np.array(table)[[0, 2, 1, 3]].tolist()).interval(),
    )
    assert (there.lower, there.upper) == pytest.approx((-back.upper, -back.lower), abs=1e-9)
    assert there.upper - there.lower > 0.01


def test_published_intervals():
    """Soft contact lenses, 43 and 0 and 1 and 0 of 44, with 90% (Tango 1998)."""
    interval = PairedCounts(43, 0, 1, 0).interval(0.1)
    assert (interval.lower, interval.upper) == pytest.approx((-0.096, 0.037), abs=5e-4)


def test_interval_covers(seed):
    """Of pairs with a true difference of 0.1, about 95% have it in their interval."""
    drawn = np.random.default_rng(seed).multinomial(150, [0.5, 0.25, 0.15, 0.1], size=400)
    intervals = [PairedCounts(*map(int, table)).interval() for table in drawn]
    assert np.mean([i.lower <= 0.1 <= i.upper for i in intervals]) > 0.9


def test_counting(seed):
    first, second = np.random.default_rng(seed).random((2, 50)) < 0.6
    counts = PairedCounts.of(first, second)
    assert counts.total == 50
    assert counts.difference == pytest.approx(first.mean() - second.mean())
    assert counts.both == sum(a and b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("numbers", [(0, 0, 0, 0), (1, -1, 0, 0)])
def test_impossible_counts_are_refused(numbers):
    with pytest.raises(InputError, match="four numbers of images"):
        PairedCounts(*numbers)


def test_holm_is_its_definition(seed):
    """The largest of (m - k) p_(k) up to a test's own place, at most 1, whatever the order."""
    p = np.random.default_rng(seed).random(8) ** 3
    ordered = np.sort(p)
    expected = [
        min(1, max((8 - k) * ordered[k] for k in range(int((ordered <= value).sum()))))
        for value in p
    ]
    assert holm(p.tolist()) == pytest.approx(expected)
    assert holm([]) == []
