import math
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclf_lightning import (
    GoldenGrid,
    InputError,
    NestedGrid,
    PublishedGrid,
    Staged,
    UniformGrid,
)

# Table 6 of Li et al. (2023): candidates, keep, trials, evaluations an image (nested), and the
# counts of the grid that the published evaluations used.
TABLE_6 = {
    "food101": (101, (20, 10, 5, 1), (20, 50, 100, 500), 5120, 5570),
    "cifar10": (10, (5, 1), (50, 500), 2750, 2750),
    "aircraft": (100, (20, 10, 5, 1), (20, 50, 100, 500), 5100, 5550),
    "pets": (37, (5, 1), (25, 250), 2050, 2050),
    "flowers102": (102, (20, 10, 5, 1), (20, 50, 100, 500), 5140, 5590),
    "stl10": (10, (5, 1), (100, 500), 3000, 3000),
    "imagenet": (1000, (500, 50, 10, 1), (50, 100, 500, 1000), 100_000, 124_500),
    "objectnet": (113, (25, 10, 5, 1), (50, 100, 500, 1000), 13_400, 14_400),
}

increasing = st.lists(st.integers(1, 1000), min_size=1, max_size=5, unique=True).map(sorted)


def steps(grid, stages):
    """Timesteps of a model of 1000, stage by stage."""
    times, ends = grid.order(stages)
    timesteps = [int(time * 1000) for time in times]
    return [timesteps[a:b] for a, b in pairwise((0, *ends))]


@pytest.mark.parametrize("name", TABLE_6)
def test_evaluations_of_table_6(name):
    candidates, keep, trials, nested, published = TABLE_6[name]
    for grid, expected in ((NestedGrid(), nested), (PublishedGrid(), published)):
        strategy = Staged(trials, keep).bind(candidates, grid.order(trials)[1])
        assert strategy.evaluations(candidates) == expected


@settings(deadline=None)
@given(increasing, st.sampled_from([NestedGrid(), GoldenGrid(), GoldenGrid(0.2)]))
def test_stages_are_completed_and_the_last_is_the_even_grid(trials, grid):
    times, ends = grid.order(trials)
    assert list(ends) == trials
    total = trials[-1]
    assert sorted(times) == [Fraction(2 * i + 1, 2 * total) for i in range(total)]


@settings(deadline=None)
@given(increasing)
def test_every_nested_stage_is_spread_over_the_whole_range(trials):
    so_far = []
    for stage, block in enumerate(steps(NestedGrid(), trials)):
        so_far = sorted(so_far + block)
        gaps = [b - a for a, b in zip([0, *so_far], [*so_far, 1000], strict=True)]
        # The even spacing, and at each end half that of each later stage, by which it is rounded.
        assert max(gaps) <= 1000 * sum(1 / count for count in trials[stage:]) + 1


@settings(deadline=None)
@given(st.integers(1, 300), st.floats(0, 0.999))
def test_golden_order_takes_the_nearest_free_cell_of_each_golden_step(total, offset):
    """The definition, cell by cell, in plain Python."""
    times, _ = GoldenGrid(offset).order((total,))
    free, ratio = set(range(total)), (math.sqrt(5) - 1) / 2
    for k, time in enumerate(times):
        aim = (offset + k * ratio) % 1
        away = {c: abs((c + 0.5) / total - aim) for c in free}
        away = {c: min(d, 1 - d) for c, d in away.items()}
        chosen = int(time * total)
        assert away[chosen] == pytest.approx(min(away.values()), abs=1e-9)
        free.remove(chosen)


@settings(deadline=None, max_examples=20)
@given(st.integers(20, 300))
def test_every_beginning_of_the_golden_order_is_well_spread(total):
    """The largest gap round the circle is at most a few times the even spacing."""
    times, _ = GoldenGrid().order((total,))
    for count in range(2, total + 1):
        first = sorted(times[:count])
        gaps = [b - a for a, b in pairwise([*first, first[0] + 1])]
        assert max(gaps) <= 2.7 / count + 2 / total


@pytest.mark.parametrize("total", [1, 2, 4, 5, 10, 25, 50, 100, 250, 500, 1000])
def test_last_stage_is_the_published_base_grid(total):
    step = 1000 // total
    base = list(range(step // 2, 1000, step))[:total]
    assert sorted(steps(NestedGrid(), (total,))[0]) == base
    assert steps(PublishedGrid(), (total,))[0] == base


def test_times_are_exact_where_floats_fall_to_the_step_below():
    times, _ = NestedGrid().order((500,))
    assert [int(time * 1000) for time in times] == list(range(1, 1000, 2))
    rounded = torch.tensor([float(time) for time in times])
    assert (rounded * 1000).long().tolist() != list(range(1, 1000, 2))


def test_published_stages_do_not_nest():
    blocks = steps(PublishedGrid(), (20, 50, 100, 500))
    assert [len(block) for block in blocks] == [20, 50, 80, 350]
    # written out from method: grid[M//n//2 :: M//n][:n] of grid = 1, 3, 5, ...
    assert blocks[0][:3] == [25, 75, 125]
    assert blocks[1][:3] == [11, 31, 51]


def test_more_trials_than_timesteps():
    assert len(NestedGrid().order((2000,))[0]) == 2000
    with pytest.raises(InputError, match=r"`trials` .* 1000"):
        PublishedGrid().order((2000,))


def test_uniform_is_a_function_of_its_seed_and_covers_the_range():
    times, ends = UniformGrid(seed=3).order((500, 2000))
    assert (times, ends) == UniformGrid(seed=3).order((500, 2000))
    assert times != UniformGrid(seed=4).order((500, 2000))[0]
    assert ends == (500, 2000)
    assert min(times) < 0.01
    assert max(times) > 0.989
    assert 0.47 < sum(times) / 2000 < 0.53
