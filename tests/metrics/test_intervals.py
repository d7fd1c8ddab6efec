import pytest
from scipy.stats import beta

from diffclf_lightning import InputError
from diffclf_lightning.metrics import clopper_pearson


@pytest.mark.parametrize(
    ("k", "n"), [(0, 1), (1, 1), (5, 10), (497, 500), (0, 7500), (7750, 10000)]
)
@pytest.mark.parametrize("alpha", [0.005, 0.05])
def test_interval_is_the_beta_quantile(k, n, alpha):
    interval = clopper_pearson(k, n, alpha)
    lower = 0 if k == 0 else beta.ppf(alpha / 2, k, n - k + 1)
    upper = 1 if k == n else beta.ppf(1 - alpha / 2, k + 1, n - k)
    assert (interval.lower, interval.upper) == pytest.approx((lower, upper), abs=1e-8)


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_named(k, n):
    with pytest.raises(InputError, match=f"correct={k} and total={n}"):
        clopper_pearson(k, n)
