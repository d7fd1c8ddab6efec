"""Scores of random tables against plain loops, and the memory that a large one takes."""

import math
import statistics
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from running import table_of

from diffclf_lightning import ErrorTable, InputError
from diffclf_lightning.evaluation import MeanError, RelativeToReference
from diffclf_lightning.evaluation import ragged as ragged_arrays

NAN = math.nan
# One image; candidates 0 and 1 met all trials, 2 and 3 were pruned after two. Raw means would put
# candidate 2 (0.5) before candidate 0 (1.5): its trials are the easy ones.
ERRORS = [[0.4, 0.6, 2.0, 3.0], [0.6, 0.6, 2.2, 3.2], [0.45, 0.55, NAN, NAN], [1.4, 0.6, NAN, NAN]]


@st.composite
def dense_tables(draw):
    """Errors of images and candidates with prefixes of trials, at least one of each image."""
    images, candidates = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    counts = draw(
        st.lists(
            st.lists(st.integers(0, 6), min_size=candidates, max_size=candidates).filter(any),
            min_size=images,
            max_size=images,
        )
    )
    error = st.floats(-10, 10, width=32)
    values = [
        [draw(st.lists(error, min_size=n, max_size=n)) for n in of_image] for of_image in counts
    ]
    most = max(max(row) for row in counts)
    filled = [[v + [NAN] * (most - len(v)) for v in of_image] for of_image in values]
    return values, torch.tensor(filled, dtype=torch.float32)


@given(dense_tables(), st.sampled_from([1, 7, 10_000]))
def test_means_differences_and_answers_equal_a_plain_loop(tables, at_once):
    values, filled = tables
    most, ragged_arrays.MOST_AT_ONCE = ragged_arrays.MOST_AT_ONCE, at_once
    try:
        scored = table_of(l2=filled)["l2"]
        scores, errors = scored.scores, scored.difference_standard_errors
        means, own_errors = scored.means, scored.standard_errors
    finally:
        ragged_arrays.MOST_AT_ONCE = most
    assert torch.equal(scored.dense().nan_to_num(99), filled.nan_to_num(99))
    for i, of_image in enumerate(values):
        longest = max(len(v) for v in of_image)
        finalists = [c for c, v in enumerate(of_image) if len(v) == longest]
        best = min(finalists, key=lambda c: (statistics.fmean(of_image[c]), c))
        lowest = statistics.fmean(of_image[best])
        assert scores[i].argmin() == scored.best[i]
        picked = int(scored.best[i])
        assert statistics.fmean(of_image[picked]) == pytest.approx(lowest, abs=1e-6)
        for c, own in enumerate(of_image):
            assert scored.counts[i, c] == len(own)
            if not own:
                assert scores[i, c].isinf()
                assert means[i, c].isnan()
                continue
            assert means[i, c].item() == pytest.approx(statistics.fmean(own), abs=1e-6)
            apart = [a - b for a, b in zip(own, of_image[picked], strict=False)]
            expected = lowest + max(statistics.fmean(apart), 0)
            assert scores[i, c].item() == pytest.approx(expected, abs=1e-5)
            if len(own) > 1:
                spread = statistics.stdev(apart) / math.sqrt(len(apart))
                assert errors[i, c].item() == pytest.approx(spread, abs=1e-5)
                spread = statistics.stdev(own) / math.sqrt(len(own))
                assert own_errors[i, c].item() == pytest.approx(spread, abs=1e-5)
            else:
                assert errors[i, c].isnan()


@given(dense_tables(), st.data())
def test_a_table_that_grows_equals_one_made_at_once(tables, data):
    """Whatever comes in which round, the rows of a pair stand in the order of its trials."""
    values, filled = tables
    images, candidates, _ = filled.shape
    whole = table_of(l2=filled)
    ones = torch.ones(images, candidates, dtype=torch.bool)
    table = ErrorTable.empty(["l2"], ones, torch.arange(candidates), None)
    while True:
        left = whole.counts - table.counts
        if not left.any():
            break
        share = [[data.draw(st.integers(0, n)) for n in row] for row in left.tolist()]
        more = torch.tensor(share)
        new = [
            values[i][c][int(table.counts[i, c]) :][: int(more[i, c])]
            for i in range(images)
            for c in range(candidates)
        ]
        flat = torch.tensor([v for part in new for v in part], dtype=torch.float32)
        table = table.extended(more, {"l2": flat}, more.sum(dim=1).tolist())
        if not more.any():
            break
    met = torch.arange(filled.shape[-1]) < table.counts[..., None]
    width = int(table.counts.max())
    expected = filled.masked_fill(~met, NAN)[..., :width]
    assert torch.equal(table.dense("l2").nan_to_num(99), expected.nan_to_num(99))


def test_pruned_candidates_are_compared_over_common_trials():
    scored = table_of(l2=[ERRORS])["l2"]
    assert scored.best.tolist() == [0]
    assert scored.scores[0].tolist() == pytest.approx([1.5, 1.65, 1.5, 2.0])


def test_one_rule_answers_by_every_loss():
    """The winner is the best of those that met all trials; nobody scores below it."""
    other = [[5.0, 5.0, 5.0, 5.0], [5.0, 4.0, 5.0, 5.0], [1.0, 1.0, NAN, NAN], [9.0, 9, NAN, NAN]]
    table = table_of(l2=[ERRORS], l1=[other])
    assert table["l2"].predictions.tolist() == [0]
    assert table["l1"].predictions.tolist() == [1]
    scores = table["l1"].scores[0]
    assert scores.argmin() == 1
    assert scores.tolist() == pytest.approx([5, 4.75, 4.75, 4.75 + 4.5])


def test_finalists_may_be_named():
    table = table_of(l2=[ERRORS])
    finalists = torch.tensor([[False, True, True, False]])
    named = ErrorTable(
        table.errors, table.counts, table.labels, table.allowed, None, None, finalists
    )
    assert named["l2"].best.tolist() == [2]


def test_unknown_losses_and_missing_references_are_named():
    table = table_of(l2=[ERRORS])
    with pytest.raises(InputError, match=r"\(l2\).*'bound'.*`other_losses`"):
        table["bound"]
    with pytest.raises(InputError, match="reference"):
        table.scored(RelativeToReference(MeanError("l2")))


MEASURE = """
import resource, torch
from diffclf_lightning import Staged
from diffclf_lightning.evaluation import ErrorTable, NestedGrid
images, candidates = 256, 1000
strategy = Staged((50, 100, 500, 1000), (500, 50, 10, 1))
strategy = strategy.bind(candidates, NestedGrid().order(strategy.stages)[1])
allowed = torch.ones(images, candidates, dtype=torch.bool)
table = ErrorTable.empty(["l2"], allowed, torch.arange(candidates), None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
while (more := strategy.further(table["l2"])).any():
    sizes = more.sum(dim=1).tolist()
    table = table.extended(more, {"l2": torch.rand(sum(sizes))}, sizes)
table["l2"].scores, table["l2"].difference_standard_errors
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(int(table.evaluations.sum()), (after - before) / 1024)
"""


def test_a_large_pruned_table_stays_below_a_gigabyte():
    """256 images of 1000 candidates and at most 1000 trials: dense it would be 1 GB a loss."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE], check=True, capture_output=True, text=True
    )
    evaluations, megabytes = run.stdout.split()
    print(f"{megabytes} MB")
    assert int(evaluations) == 256 * 100_000
    assert float(megabytes) < 1000
