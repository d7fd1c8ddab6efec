"""How long ranks wait for each other, and what each draws."""

import random

import pytest
import torch

from diffclf_lightning import InputError, ranks
from diffclf_lightning.baselines import FeatureClassifier, TimmClassifier
from diffclf_lightning.baselines.contrastive_training import ContrastiveTraining
from diffclf_lightning.ranks import BusyTime, waiting_share, whole
from diffclf_lightning.training import CaptionTraining, DenoiserTraining, GrammarTraining


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(ranks.time, "perf_counter", lambda: now[0])

    def moves(seconds):
        now[0] += seconds

    return moves


def laps(clock, *spent):
    busy = BusyTime()
    for name, seconds in spent:
        clock(seconds)
        busy.lap(name)
    return busy


def test_a_slow_rank_is_waited_for(clock, monkeypatch):
    """In 9 seconds the first rank is idle for 4 and the second never; the third for 8."""
    told = [
        laps(clock, ("a", 2.0), ("a", 1.0), ("b", 2.0)).of_all_ranks(),
        laps(clock, ("a", 1.0), ("a", 4.0), ("b", 4.0)).of_all_ranks(),
        laps(clock, ("b", 1.0)).of_all_ranks(),
    ]
    shared = [{name: seconds for name, (seconds,) in busy.items()} for busy in told]
    monkeypatch.setattr(ranks, "of_all_ranks", lambda value: shared)
    busy = BusyTime().of_all_ranks()
    assert busy == {"a": [3, 5, 0], "b": [2, 4, 1]}
    assert whole(busy) == [5, 9, 1]
    assert waiting_share(whole(busy)) == pytest.approx((4 + 0 + 8) / (3 * 9))


@pytest.mark.parametrize("busy", [[], [0.0, 0.0], [3.0], [2.0, 2.0, 2.0]])
def test_nobody_waits_where_nobody_is_slower(busy):
    assert waiting_share(busy) == 0


def test_one_process_has_its_own_value():
    assert ranks.of_all_ranks("own") == ["own"]


def test_a_process_that_is_gone_is_one_line(monkeypatch):
    """What gloo says when a process was killed, after the place in its own code."""

    def gone(*_):
        raise RuntimeError(
            "[/src/gloo/pair.cc:561] Connection closed by peer [::1]:80. This is so."
        )

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gone)
    with pytest.raises(InputError, match=r"is lost: Connection closed by peer \[::1\]:80\. What"):
        ranks.of_all_ranks("own")


@pytest.mark.parametrize(
    "kind",
    [CaptionTraining, ContrastiveTraining, DenoiserTraining, FeatureClassifier, GrammarTraining,
     TimmClassifier],
)  # fmt: skip
def test_every_training_draws_apart(kind, monkeypatch, seed):
    """Of torch and of Python's own generator, which draws among several captions of a label."""
    found = []
    for rank in (0, 1, 2, None):
        torch.manual_seed(seed)
        random.seed(seed)
        if rank is not None:
            monkeypatch.setattr(kind, "global_rank", rank)
            object.__new__(kind).on_fit_start()
        found.append((torch.rand(()).item(), random.random()))
    assert found[0] == found[-1]
    for of_ranks in zip(*found[:3], strict=True):
        assert len(set(of_ranks)) == 3
