import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclf_lightning import InputError, NestedGrid, PublishedGrid, Staged, UniformGrid

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


@pytest.mark.parametrize("name", TABLE_6)
def test_evaluations_of_table_6(name):
    candidates, keep, trials, nested, published = TABLE_6[name]
    strategy = Staged(trials, keep)
    assert strategy.evaluations(candidates) == nested
    assert strategy.evaluations(candidates, grid=PublishedGrid()) == published


@given(increasing)
def test_nested_blocks_complete_the_cumulative_counts(trials):
    blocks = NestedGrid().blocks(trials, 1000)
    done = 0
    for block, count in zip(blocks, trials, strict=True):
        done += len(block)
        assert done == count
    timesteps = [t for block in blocks for t in block]
    assert len(set(timesteps)) == len(timesteps)
    assert all(0 <= t < 1000 for t in timesteps)


@given(increasing)
def test_every_nested_stage_is_spread_over_the_whole_range(trials):
    blocks = NestedGrid().blocks(trials, 1000)
    so_far = []
    for block in blocks:
        so_far = sorted(so_far + block)
        gaps = [b - a for a, b in zip([0, *so_far], [*so_far, 1000], strict=True)]
        # Twice the even spacing, and what rounding in each stage may add.
        assert max(gaps) <= 2 * 1000 / len(so_far) + 1000 / trials[-1] * len(trials) + 1


@pytest.mark.parametrize("total", [1, 2, 4, 5, 10, 25, 50, 100, 250, 500, 1000])
def test_last_stage_is_the_published_base_grid(total):
    step = 1000 // total
    base = list(range(step // 2, 1000, step))[:total]
    assert sorted(NestedGrid().blocks((total,), 1000)[0]) == base
    assert PublishedGrid().blocks((total,), 1000)[0] == base


def test_published_stages_do_not_nest():
    blocks = PublishedGrid().blocks((20, 50, 100, 500), 1000)
    assert [len(block) for block in blocks] == [20, 50, 80, 350]
    # written out from method: grid[M//n//2 :: M//n][:n] of grid = 1, 3, 5, ...
    assert blocks[0][:3] == [25, 75, 125]
    assert blocks[1][:3] == [11, 31, 51]


def test_more_trials_than_timesteps():
    assert len(NestedGrid().blocks((2000,), 1000)[0]) == 2000
    with pytest.raises(InputError, match="at most 1000"):
        PublishedGrid().blocks((2000,), 1000)


def test_uniform_is_a_function_of_its_seed_and_covers_the_range():
    blocks = UniformGrid(seed=3).blocks((500, 2000), 1000)
    assert blocks == UniformGrid(seed=3).blocks((500, 2000), 1000)
    assert blocks != UniformGrid(seed=4).blocks((500, 2000), 1000)
    assert [len(block) for block in blocks] == [500, 1500]
    timesteps = [t for block in blocks for t in block]
    assert min(timesteps) < 10
    assert max(timesteps) > 989
    assert 470 < sum(timesteps) / 2000 < 530
