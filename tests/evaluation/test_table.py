import math
import statistics

import pytest
import torch

from diffclf_lightning import ErrorTable

NAN = math.nan
# One image; candidates 0 and 1 met all trials, 2 and 3 were pruned after two. Raw means would put
# candidate 2 (0.5) before candidate 0 (1.5): its trials are the easy ones.
ERRORS = [[0.4, 0.6, 2.0, 3.0], [0.6, 0.6, 2.2, 3.2], [0.45, 0.55, NAN, NAN], [1.4, 0.6, NAN, NAN]]


@pytest.fixture
def table() -> ErrorTable:
    alive = torch.tensor([[True, False, False, False]])
    return ErrorTable(torch.tensor([ERRORS]), alive, torch.tensor([0, 1, 1, 3]))


def test_counts_means_and_standard_errors(table):
    assert table.counts.tolist() == [[4, 4, 2, 2]]
    assert table.evaluations.tolist() == [12]
    for c, errors in enumerate(ERRORS):
        values = [e for e in errors if not math.isnan(e)]
        assert table.means[0, c].item() == pytest.approx(statistics.mean(values))
        expected = statistics.stdev(values) / math.sqrt(len(values))
        assert table.standard_errors[0, c].item() == pytest.approx(expected)


def test_pruned_candidates_are_compared_over_common_trials(table):
    assert table.best.tolist() == [0]
    assert table.scores[0].tolist() == pytest.approx([1.5, 1.65, 1.5, 2.0])


def test_label_score_is_the_minimum_over_its_candidates(table):
    assert table.label_scores(4)[0].tolist() == pytest.approx([1.5, 1.5, math.inf, 2.0])
    assert table.best_candidates(4).tolist() == [[0, 2, -1, 3]]


def test_posterior_is_a_softmax_of_scaled_scores_with_the_prior(table):
    prior = torch.tensor([0.1, 0.2, 0.3, 0.4])
    weights = [0.1 * math.exp(-3 * 1.5), 0.2 * math.exp(-3 * 1.5), 0, 0.4 * math.exp(-3 * 2.0)]
    expected = [w / sum(weights) for w in weights]
    assert table.posterior(4, 3.0, prior)[0].tolist() == pytest.approx(expected)
    assert table.posterior(4).sum(dim=1).item() == pytest.approx(1)


def test_single_trial_has_no_standard_error():
    table = ErrorTable(torch.rand(1, 2, 1), torch.ones(1, 2) > 0, torch.arange(2))
    assert table.standard_errors.isnan().all()
