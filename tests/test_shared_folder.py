"""A folder of results is one folder, also where a file system is slow to show what is new."""

import threading

import pytest

from diffclf_lightning import InputError, ranks
from diffclf_lightning.results import check_shared, shared

FIRST = "'/first/r' on first (rank 0)"


@pytest.fixture
def as_second(tmp_path, monkeypatch):
    """Checks a folder as the second of two ranks, of which the first wrote `.seen-mark`."""

    def gather(value):
        told = {str: "mark", tuple: (FIRST, True), type(None): None}
        return [told[type(value)], value]

    monkeypatch.setattr(shared, "of_all_ranks", gather)
    return lambda patience: (
        monkeypatch.setattr(shared, "PATIENCE", patience),
        check_shared(tmp_path / "r", 1),
    )


def test_a_file_may_appear_late(as_second, tmp_path):
    def appear():
        (tmp_path / "r").mkdir()
        (tmp_path / "r" / f"{shared.MARK}mark").touch()

    late = threading.Timer(0.3, appear)
    late.start()
    assert not (tmp_path / "r").exists()
    as_second(60.0)
    assert (tmp_path / "r" / f"{shared.MARK}mark").exists()
    late.join()


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_without_it_is_another(as_second, tmp_path, there):
    if there:
        (tmp_path / "r").mkdir()
        (tmp_path / "r" / f"{shared.MARK}other").touch()
    with pytest.raises(InputError, match=r"`results\.folder`.*/first/r.* is not in .*\(rank 1\)"):
        as_second(0.0)


def test_one_process_leaves_nothing(tmp_path):
    check_shared(tmp_path, 0)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_the_first_rank_cannot_write_is_said_on_all(as_second, monkeypatch):
    """They would wait for it."""
    refused = InputError("Expected to change '/first/r', but got: No space left on device.")
    monkeypatch.setattr(ranks, "of_all_ranks", lambda value: [(None, refused), value])
    with pytest.raises(InputError, match="No space left"):
        as_second(60.0)
