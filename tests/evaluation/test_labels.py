import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffclf_lightning.evaluation import best_candidates, log_posterior, per_label


@given(st.data())
def test_the_best_candidate_of_each_label_is_that_of_a_plain_loop(data):
    images, candidates, num_labels = (data.draw(st.integers(1, n)) for n in (3, 8, 5))
    few = st.sampled_from([0.0, 0.5, 1.0, math.inf])
    size = images * candidates
    scores = torch.tensor(data.draw(st.lists(few, min_size=size, max_size=size)))
    scores = scores.reshape(images, candidates)
    label = st.integers(0, num_labels - 1)
    labels = data.draw(st.lists(label, min_size=candidates, max_size=candidates))
    best = best_candidates(scores, torch.tensor(labels), num_labels)
    for i in range(images):
        for wanted in range(num_labels):
            own = [c for c in range(candidates) if labels[c] == wanted]
            own = [c for c in own if scores[i, c].isfinite()]
            expected = min(own, key=lambda c: (scores[i, c].item(), c)) if own else -1
            assert best[i, wanted] == expected
    values = torch.arange(candidates).expand(images, -1)
    assert torch.equal(per_label(values, best, -1), best)


def test_many_labels_of_many_candidates_take_little_memory():
    """64 images of 18,000 prompts of 1000 classes: images x labels x candidates would be 4.6 GB."""
    scores, labels = torch.rand(64, 18_000), torch.arange(18_000) % 1000
    best = best_candidates(scores, labels, 1000)
    expected = scores.reshape(64, 18, 1000).amin(dim=1)
    assert torch.equal(per_label(scores, best, math.inf), expected)


def test_posterior_is_a_softmax_of_scaled_scores_with_the_prior():
    scores, prior = torch.tensor([[1.5, 1.5, math.inf, 2.0]]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    weights = [0.1, 0.2, 0, 0.4 * math.exp(-3 * 0.5)]
    expected = [w / sum(weights) for w in weights]
    assert log_posterior(scores, 3.0, prior).exp()[0].tolist() == pytest.approx(expected)


def test_large_temperatures_keep_their_precision():
    """In float32 the posterior would be off by 2e-3, and its logarithm end at -87."""
    scores = torch.tensor([[1.0, 1.0 + 2**-16, 1.5]])
    log = log_posterior(scores, 1e5)
    expected = -math.log1p(math.exp(-1e5 * 2**-16))
    assert log[0, 0].item() == pytest.approx(expected, abs=1e-9)
    assert log[0, 2].item() == pytest.approx(-5e4, rel=1e-4)
