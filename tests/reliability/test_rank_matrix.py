"""A few cells of the matrix of ranks; ``rank_matrix.cells`` has all."""

import pytest
import rank_matrix
from rank_matrix import Cell


@pytest.mark.parametrize(
    "cell",
    [
        Cell(2, "subset sampler", keys=False, images=19),
        Cell(2, "batch sampler", keys=True, images=19),
        Cell(2, "iterable", keys=False, images=18),
        Cell(2, "iterable, drawn", keys=True, images=18),
        Cell(3, "iterable sharded", keys=False, images=19),
        Cell(2, "undistributed, own share", keys=True, images=19),
        Cell(2, "undistributed, own indices", keys=False, images=19),
    ],
    ids=str,
)
def test_every_image_counts_once_or_the_run_is_refused(cell, tmp_path):
    assert rank_matrix.run(cell, tmp_path) == rank_matrix.expected(cell)


def test_predictions_of_every_image_on_all_ranks_are_refused(tmp_path):
    """They have no report, and are found when all are there."""
    cell = Cell(2, "iterable, drawn", keys=False, images=18)
    assert rank_matrix.run(cell, tmp_path, command="predict") == rank_matrix.REFUSED
    assert "18 of 36 are others once again" in (tmp_path / "said.txt").read_text()


def test_a_run_goes_on_with_other_numbers_of_processes(tmp_path):
    """Rows of shares that others had before count once."""
    for ranks in (2, 3):
        cell = Cell(ranks, "undistributed, own share", keys=True, images=19)
        assert rank_matrix.run(cell, tmp_path) == rank_matrix.EXACT


def test_what_is_expected_is_known_of_all_cells():
    cells = rank_matrix.cells()
    assert len(set(map(str, cells))) == len(cells)
    found = {rank_matrix.expected(cell) for cell in cells}
    assert found == {rank_matrix.EXACT, rank_matrix.WARNED, rank_matrix.REFUSED}
