import pytest
import torch

from diffclf_lightning.evaluation import batching, find_evaluations_per_batch


@pytest.fixture
def spend(monkeypatch):
    """Moves a clock of our own, which the search reads in place of the real one."""
    now = [0.0]
    monkeypatch.setattr(batching.time, "perf_counter", lambda: now[0])

    def spend(seconds):
        now[0] += seconds

    return spend


def cost(spend, fixed, each):
    return lambda size: spend(fixed + each * size)


def test_grows_while_it_gains(spend):
    assert find_evaluations_per_batch(cost(spend, 0.02, 0.0), largest=64) == 64


def test_stops_where_nothing_is_gained(spend):
    assert find_evaluations_per_batch(cost(spend, 0.0, 0.06), largest=4096) == 1


def test_never_exceeds_what_there_is(spend):
    assert find_evaluations_per_batch(cost(spend, 0.02, 0.0), largest=5) == 5
    assert find_evaluations_per_batch(cost(spend, 0.02, 0.0), largest=8) == 8
    assert find_evaluations_per_batch(cost(spend, 0.0, 0.001), largest=1) == 1


def test_takes_the_largest_that_fits(spend):
    def forward(size):
        if size > 8:
            raise torch.OutOfMemoryError
        spend(0.01)

    assert find_evaluations_per_batch(forward, largest=1024) == 8


def test_says_when_not_even_one_fits():
    def forward(size):
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        find_evaluations_per_batch(forward)


def test_a_stall_in_the_first_passes_does_not_end_the_search(spend):
    """As when another program takes the processors for a moment."""
    stalled = {2, 4, 8}

    def forward(size):
        spend(0.02 if size in stalled else 0.002)

    assert find_evaluations_per_batch(forward, largest=64) == 64
