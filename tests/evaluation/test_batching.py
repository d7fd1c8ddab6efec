import time

import pytest
import torch

from diffclf_lightning.evaluation import find_evaluations_per_batch


def cost(fixed, each):
    return lambda size: time.sleep(fixed + each * size)


def test_grows_while_it_gains():
    assert find_evaluations_per_batch(cost(0.02, 0.0), largest=64) == 64


def test_stops_where_nothing_is_gained():
    assert find_evaluations_per_batch(cost(0.0, 0.01), largest=4096) <= 2


def test_never_exceeds_what_there_is():
    assert find_evaluations_per_batch(cost(0.02, 0.0), largest=5) == 4
    assert find_evaluations_per_batch(cost(0.0, 0.0), largest=1) == 1


def test_takes_the_largest_that_fits():
    def forward(size):
        if size > 8:
            raise torch.OutOfMemoryError
        time.sleep(0.01)

    assert find_evaluations_per_batch(forward, largest=1024) == 8


def test_says_when_not_even_one_fits():
    def forward(size):
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        find_evaluations_per_batch(forward)


def test_a_stall_in_the_first_passes_does_not_end_the_search():
    """As when another program takes the processors for a moment."""
    stalled = {2, 4, 8}

    def forward(size):
        time.sleep(0.02 if size in stalled else 0.002)

    assert find_evaluations_per_batch(forward, largest=64) == 64
