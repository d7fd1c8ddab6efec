import pytest
import torch

from diffclf_lightning import Full, InputError, Staged


@pytest.mark.parametrize(
    ("trials", "keep", "message"),
    [
        ((4, 12), (2,), "one entry a stage"),
        ((12, 4), (2, 1), "`trials` to be increasing"),
        ((4, 4), (2, 1), "`trials` to be increasing"),
        ((0, 4), (2, 1), "`trials` to be increasing"),
        ((), (), "`trials` to be increasing"),
        ((4, 12), (1, 1), "`keep` to be decreasing"),
        ((4, 12), (1, 2), "`keep` to be decreasing"),
        ((4, 12), (3, 2), "last entry of argument `keep` to be 1"),
    ],
)
def test_bad_stages_are_named(trials, keep, message):
    with pytest.raises(InputError, match=message):
        Staged(trials, keep)


def test_keep_beyond_the_candidates_is_named():
    with pytest.raises(InputError, match=r"`keep` to be at most 10.*\[11, 1\]"):
        Staged((1, 2), (11, 1)).check(10)
    Staged((1, 2), (10, 1)).check(10)


def test_survivors_have_the_lowest_means(seed):
    errors = torch.rand(5, 7, 3)
    alive = torch.ones(5, 7, dtype=torch.bool)
    alive[:, 2] = False
    kept = Staged((3, 9), (4, 1)).survivors(0, errors, alive)
    for i in range(5):
        means = {c: errors[i, c].mean().item() for c in range(7) if c != 2}
        best = sorted(means, key=means.__getitem__)[:4]
        assert sorted(kept[i].nonzero().flatten().tolist()) == sorted(best)


def test_full_is_one_stage():
    assert (Full(9).trials, Full(9).keep) == ((9,), (1,))
    assert Full(250).evaluations(1000) == 250_000
