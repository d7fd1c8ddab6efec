"""How long ranks wait for each other."""

import pytest

from diffclf_lightning import ranks
from diffclf_lightning.ranks import BusyTime, waiting_share, whole


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
