import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from running import table_of

from diffclf_lightning import (
    ErrorTable,
    Full,
    InputError,
    NestedGrid,
    PublishedGrid,
    Staged,
    Thinning,
)


@pytest.mark.parametrize(
    ("trials", "keep", "argument"),
    [
        ((4, 12), (2,), "`trials` and `keep`"),
        ((12, 4), (2, 1), "`trials`"),
        ((4, 4), (2, 1), "`trials`"),
        ((0, 4), (2, 1), "`trials`"),
        ((), (), "`trials`"),
        ((4, 12), (1, 1), "`keep`"),
        ((4, 12), (1, 2), "`keep`"),
        ((4, 12), (3, 2), "`keep`"),
    ],
)
def test_bad_stages_are_named(trials, keep, argument):
    with pytest.raises(InputError, match=argument):
        Staged(trials, keep)


def test_keep_beyond_the_candidates_keeps_all_and_says_so():
    with pytest.warns(UserWarning, match=r"keep=\[11, 1\].*the 10 that there are"):
        bound = Staged((1, 2), (11, 1)).bind(10, (1, 2))
    assert bound.evaluations(10) == 20


def test_full_is_one_stage():
    assert (Full(9).stages, Full(9).keep) == ((9,), (1,))
    assert Full(250).evaluations(1000) == 250_000


@st.composite
def staged(draw):
    stages = sorted(draw(st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True)))
    kept = draw(st.lists(st.integers(2, 8), min_size=len(stages) - 1, max_size=3, unique=True))
    keep = (*sorted(kept[: len(stages) - 1], reverse=True), 1)
    return Staged(stages, keep), draw(st.integers(1, 9))


@given(staged(), st.sampled_from([NestedGrid(), PublishedGrid()]), st.integers(0, 2**32 - 1))
def test_random_strategies_prune_as_algorithm_2_does(strategy_and_candidates, grid, seed):
    """Round by round: counts, survivors, evaluations, and the winner, from a plain loop."""
    strategy, candidates = strategy_and_candidates
    _, ends = grid.order(strategy.stages)
    errors = torch.rand(3, candidates, ends[-1], generator=torch.Generator().manual_seed(seed))
    allowed = torch.ones(3, candidates, dtype=torch.bool)
    allowed[2, 0] = candidates == 1
    bound = strategy.bind(candidates, ends)
    table = ErrorTable.empty(["l2"], allowed, torch.arange(candidates), None)
    rounds = 0
    while (more := bound.further(table["l2"])).any():
        place = torch.arange(ends[-1])
        met = (place >= table.counts[..., None]) & (place < (table.counts + more)[..., None])
        table = table.extended(more, {"l2": errors[met]}, more.sum(dim=1).tolist())
        rounds += 1
    assert rounds == len(set(ends))  # stages of the published grid may have nothing new
    assert strategy.ends == strategy.stages  # binding changes the copy alone
    for i in range(3):
        alive = allowed[i].nonzero().flatten().tolist()
        spent, done = dict.fromkeys(range(candidates), 0), 0
        for end, kept in zip(ends, strategy.keep, strict=True):
            spent |= dict.fromkeys(alive, end)
            means = {c: errors[i, c, :end].double().mean().item() for c in alive}
            alive, done = sorted(alive, key=means.__getitem__)[:kept], end
        assert table.counts[i].tolist() == [spent[c] for c in range(candidates)]
        finalists = bound.finalists(table["l2"])[i].nonzero().flatten().tolist()
        assert finalists == [c for c in spent if spent[c] == max(spent.values())]
        assert done == ends[-1]
        assert table["l2"].best[i] == alive[0]
    assert int(table.evaluations[0]) == bound.evaluations(candidates)


def test_equal_candidates_are_kept_in_their_order():
    table = table_of(l2=torch.ones(1, 4, 2))
    more = Staged((2, 5), (3, 1)).further(table["l2"])
    assert more.tolist() == [[3, 3, 3, 0]]
    assert table["l2"].best.tolist() == [0]


@pytest.mark.parametrize(
    ("candidates", "keep"), [(2, (2, 2, 1)), (3, (2, 2, 1)), (10, (4, 2, 1)), (1000, (334, 112, 1))]
)
def test_thinning_suits_any_number_of_candidates(candidates, keep):
    bound = Thinning((4, 12, 50)).bind(candidates, (4, 12, 50))
    assert bound.keep == keep
    alive = (candidates, *keep)
    expected = sum(t * min(a, candidates) for t, a in zip((4, 8, 38), alive, strict=False))
    assert bound.evaluations(candidates) == expected
    assert Thinning((4, 12, 50)).evaluations(candidates) == expected


@pytest.mark.parametrize("share", [0, 1.0])
def test_a_share_of_none_or_all_is_named(share):
    with pytest.raises(InputError, match="`share`"):
        Thinning(share=share)
