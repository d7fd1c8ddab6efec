"""The order of times that begins with informative ones."""

import json
from bisect import bisect
from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclf_lightning import GoldenGrid, InformativeGrid, InputError
from diffclf_lightning.arguments import plain
from diffclf_lightning.results import RunFolder

densities = st.lists(st.floats(0.1, 10), min_size=1, max_size=12)


@settings(deadline=None)
@given(st.integers(1, 200), densities)
def test_each_step_takes_the_nearest_free_cell_of_its_quantile(total, density):
    """The definition, cell by cell, in plain Python; after all trials the grid is complete."""
    times, ends = InformativeGrid(density=density).order((total,))
    assert ends == (total,)
    assert sorted(times) == [Fraction(2 * i + 1, 2 * total) for i in range(total)]
    below = [0.0, *accumulate(one / sum(density) for one in density)]
    free = set(range(total))
    for k, time in enumerate(times):
        share = (0.5 + k * (5**0.5 - 1) / 2) % 1
        part = min(bisect(below, share) - 1, len(density) - 1)
        aim = (part + (share - below[part]) / (below[part + 1] - below[part])) / len(density)
        away = {cell: abs((cell + 0.5) / total - aim) for cell in free}
        away = {cell: min(gap, 1 - gap) for cell, gap in away.items()}
        chosen = int(time * total)
        assert away[chosen] == pytest.approx(min(away.values()), abs=1e-9)
        free.remove(chosen)


@pytest.mark.parametrize("total", [1, 2, 17, 250])
def test_a_uniform_density_is_the_golden_order(total):
    assert InformativeGrid(density=[3.0] * 7).order((total,)) == GoldenGrid().order((total,))


def test_first_trials_are_spread_as_the_density_says():
    """To within two trials in each part, as long as cells are free there."""
    density = [0.5, 0.5, 2.5, 0.5]
    times, _ = InformativeGrid(density=density).order((250,))
    for count in range(1, 80):
        for part, share in enumerate(density):
            met = sum(int(time * 4) == part for time in times[:count])
            assert abs(met - count * share / 4) <= 2, (count, part)


def test_it_is_stored_by_what_it_is_and_not_by_where_it_came_from(tmp_path):
    content = {"temperature": 9.0, "score": "l2", "images": 5, "density": [0.5, 1.5]}
    (tmp_path / "calibration.json").write_text(json.dumps(content))
    grid = InformativeGrid(tmp_path)
    assert repr(grid) == "InformativeGrid(density=(0.5, 1.5))"
    again = InformativeGrid(**plain(grid)["init_args"])
    assert again.order((30,)) == grid.order((30,)) != GoldenGrid().order((30,))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "neither"),
        ({"calibration": "a", "density": [1]}, "both"),
        ({"density": []}, "`density`"),
        ({"density": [1, 0]}, "`density` to have entries above 0"),
        ({"density": [1, float("nan")]}, "`density`"),
        ({"calibration": "nowhere"}, "`calibration`"),
    ],
)
def test_bad_arguments_are_named(arguments, said):
    with pytest.raises(InputError, match=said):
        InformativeGrid(**arguments)


def test_a_run_takes_it_by_one_argument(diffclf, tmp_path):
    content = {"temperature": 9.0, "score": "l2", "images": 5}
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps(content))
    run = ["test", "--config", "digits", "--data.num_test=5", "--model.strategy.max_trials=4"]
    run += ["--model.grid=InformativeGrid", "--model.grid.calibration=.", "--results.folder=r"]
    assert "diffclf calibrate RUN --informative" in diffclf(*run, code=2).stderr
    file.write_text(json.dumps({**content, "density": [9.0, 1.0, 1.0, 1.0]}))
    diffclf(*run)
    described = RunFolder(tmp_path / "r").description()
    assert described["grid"] == "InformativeGrid(density=(9.0, 1.0, 1.0, 1.0))"
    assert described["trials"]["time"][0] == "1/8"
