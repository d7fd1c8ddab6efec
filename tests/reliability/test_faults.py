"""A part of what whole.py tries: kills, errors of the disk, torn files, two runs at once."""

import errno
import random
from itertools import count

import pytest
from faults import errors, kills, soak, together, torn
from faults.striking import Fails, Kill, PowerLoss, Torn
from faults.subject import subject

EVERY = 20
"""One in so many operations on files is struck."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with subject(tmp_path_factory.mktemp("faults")) as ready:
        yield ready


def all_as_expected(trials, at_least):
    tried = list(trials)
    assert len(tried) >= at_least
    assert not [str(trial) for trial in tried if trial.findings]


@pytest.mark.parametrize(
    "what", [Kill(), Torn(), PowerLoss()], ids=lambda what: type(what).__name__
)
def test_a_run_that_is_killed_at_a_write_goes_on(run, what, seed):
    first = random.Random(f"{seed}{what}").randint(1, EVERY)
    all_as_expected(kills.at_writes(run, what, count(first, EVERY)), at_least=3)


def test_a_run_that_is_killed_at_random_goes_on(run, seed):
    all_as_expected(kills.at_random(run, seed, trials=1), at_least=1)


def test_a_rank_that_is_killed_at_random_loses_nothing(tmp_path, seed):
    with subject(tmp_path, ranks=2) as ranks:
        all_as_expected(kills.at_random(ranks, seed, trials=1), at_least=1)


@pytest.mark.parametrize("lasting", [False, True])
def test_an_error_of_the_disk_is_said_and_the_run_goes_on(run, lasting, seed):
    what = Fails(errno.EIO if lasting else errno.ENOSPC, lasting)
    first = random.Random(seed + lasting).randint(1, EVERY)
    all_as_expected(errors.at_writes(run, what, count(first, EVERY)), at_least=3)


def test_torn_files_are_named_and_cost_no_other_image(run, seed):
    all_as_expected(torn.torn(run, seed, bits=1, of=9), at_least=6)


def test_one_run_at_a_time_has_the_folder(run):
    all_as_expected(together.together(run, races=1), at_least=6)


def test_memory_does_not_grow(tmp_path):
    all_as_expected(soak.soak(tmp_path, images=3000), at_least=1)
