"""A part of the corpus of bad inputs; ``python tests/reliability/inputs.py`` runs it whole."""

from zlib import crc32

import pytest
from corpus import cases, run

EVERY = 14
"""About one of so many cases is tested here, by its name, so that others change nothing."""
PART = [
    pytest.param(case, id=f"{subject}: {case.name}")
    for subject, found in cases().items()
    for case in found
    if crc32(case.name.encode()) % EVERY == 0
]


@pytest.mark.parametrize("case", PART)
def test_it_comes_out_as_it_should(case, tmp_path):
    verdict = run(case, tmp_path)
    assert not verdict.wrong, verdict.ended.stderr


def test_every_case_has_a_name_of_its_own():
    names = [case.name for found in cases().values() for case in found]
    assert len(set(names)) == len(names) >= 200
