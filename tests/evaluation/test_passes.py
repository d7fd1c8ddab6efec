"""Forward passes: how large they are, how full, and what becomes of those that do not fit."""

import warnings
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from running import run

from diffclf_lightning import Full, InputError, Racing, Staged, Strategy, Thinning
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.evaluation import GoldenGrid, PassSize, RelativeToReference


@pytest.fixture
def gaussian(seed):
    return GaussianDenoiser(torch.rand(4, 1, 3, 3) * 2 - 1, std=0.5)


@pytest.fixture
def sizes(gaussian, monkeypatch):
    """Rows of every forward pass."""
    seen = []
    predict = gaussian.predict
    monkeypatch.setattr(gaussian, "predict", lambda *args: seen.append(len(args[0].x_t)) or
                        predict(*args))  # fmt: skip
    return seen


SHORT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't "
                 "allocate memory: you tried to allocate 4000000000000000 bytes."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]  # fmt: skip


def limited(model, monkeypatch, most, error):
    """A model with memory for so many rows; says of each pass whether it fitted."""
    predict, tried = model.predict, []

    def predict_if_it_fits(noised, conditioning):
        tried.append(len(noised.x_t))
        if len(noised.x_t) > most:
            raise error
        return predict(noised, conditioning)

    monkeypatch.setattr(model, "predict", predict_if_it_fits)
    return tried


@pytest.mark.parametrize("error", SHORT, ids=["CUDA", "MPS", "CPU", "cuBLAS"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_pass_that_does_not_fit_is_halved_and_the_run_goes_on(
    gaussian, monkeypatch, error, whole
):
    x_0, strategy = torch.rand(5, 1, 3, 3) * 2 - 1, Staged((3, 9), (2, 1))
    expected = run(gaussian, x_0, strategy)
    tried = limited(gaussian, monkeypatch, 9, error)
    size, seen = PassSize(40), []
    size.whole = whole
    with pytest.warns(UserWarning, match="does not fit") as said:
        table = run(gaussian, x_0, strategy, evaluations_per_batch=size, on_progress=seen.append)
    assert torch.equal(table.counts, expected.counts)
    assert torch.allclose(table.errors["l2"], expected.errors["l2"], atol=1e-6)
    assert sum(seen) == int(table.counts.sum())
    failed = [n for n in tried if n > 9]
    assert failed == tried[: len(failed)] == sorted(failed, reverse=True)
    assert all(b <= a / 2 for a, b in pairwise(failed))
    assert [str(size.size) in str(said[-1].message), len(said)] == [True, len(failed)]
    assert size.size == failed[-1] // 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(gaussian, x_0, strategy, evaluations_per_batch=size)
    assert max(tried[len(failed) :]) <= size.size


def test_one_evaluation_that_does_not_fit_is_the_error_that_it_was(gaussian, monkeypatch):
    limited(gaussian, monkeypatch, 0, SHORT[0])
    with pytest.warns(UserWarning, match="does not fit"), pytest.raises(torch.OutOfMemoryError):
        run(gaussian, torch.rand(2, 1, 3, 3), Full(2), evaluations_per_batch=4)


def test_other_errors_are_no_lack_of_memory(gaussian, monkeypatch):
    tried = limited(gaussian, monkeypatch, 0, RuntimeError("mat1 and mat2 cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        run(gaussian, torch.rand(2, 1, 3, 3), Full(2), evaluations_per_batch=4)
    assert tried == [4]


def test_a_size_below_one_is_refused():
    with pytest.raises(InputError, match="`evaluations_per_batch`"):
        PassSize(0)


@pytest.mark.parametrize("whole", [False, True])
def test_filling_is_that_of_the_passes(gaussian, sizes, whole):
    """Counted again from what the model and the progress bar were given."""
    size, seen = PassSize(64), []
    size.whole = whole
    table = run(
        gaussian, torch.rand(7, 1, 3, 3) * 2 - 1, Staged((5, 6, 30), (3, 2, 1)),
        score=RelativeToReference(), reference=gaussian.unconditional(),
        evaluations_per_batch=size, on_progress=seen.append,
    )  # fmt: skip
    assert size.filling.evaluations == int(table.evaluations.sum()) == sum(seen)
    assert size.filling.underfilled == sum(n for n in seen if n < 32)
    assert size.filling.repeats == sum(sizes) - sum(seen)
    assert 0 < size.filling.underfilled < sum(seen)
    if whole:
        assert set(sizes) == {64}


def test_passes_of_one_shape_change_no_error(gaussian):
    x_0, strategy = torch.rand(5, 1, 3, 3) * 2 - 1, Staged((3, 9), (2, 1))
    size = PassSize(32)
    size.whole = True
    table = run(gaussian, x_0, strategy, evaluations_per_batch=size)
    expected = run(gaussian, x_0, strategy, evaluations_per_batch=7)
    assert torch.equal(table.counts, expected.counts)
    assert torch.allclose(table.errors["l2"], expected.errors["l2"], atol=1e-6)


@given(
    st.sampled_from([Staged, Thinning]),
    st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True).map(sorted),
    st.integers(2, 50),
    st.integers(1, 9),
)
def test_stages_fill_the_largest_pass(kind, trials, candidates, images):
    """At most 5% of evaluations are in rounds of less than half; with one more, more are."""
    keep = range(len(trials), 0, -1)
    strategy = Thinning(trials) if kind is Thinning else Staged(trials, keep)
    bound = strategy.bind(candidates, trials) if kind is Thinning else strategy
    alive = [candidates, *(min(k, candidates) for k in bound.keep)]
    rounds = [
        images * n * (b - a) for n, (a, b) in zip(alive, pairwise([0, *trials]), strict=False)
    ]

    def underfilled(size):
        return sum(n for n in rounds if 2 * n < size) / sum(rounds)

    largest = bound.largest_pass(images, candidates)
    assert sum(rounds) == images * bound.evaluations(candidates)
    assert underfilled(largest) <= 0.05
    assert largest == max(rounds) or underfilled(largest + 1) > 0.05


class Own(Strategy):
    """A strategy that says nothing of its rounds."""

    stages = ends = (4, 30)
    adaptive = True

    def further(self, table):
        raise NotImplementedError

    def evaluations(self, num_candidates):
        return 30 * num_candidates


def test_a_strategy_may_say_nothing_of_its_rounds():
    assert Own().largest_pass(1, 10) == 40  # the first round of an image
    assert Own().largest_pass(1000, 10) == 40 * 1000 // 16


def test_a_race_fills_its_passes(seed):
    """Images of ten classes, easy and hard: counted, at most 5% in passes less than half full."""
    model = GaussianDenoiser(torch.rand(10, 1, 4, 4) * 2 - 1, std=0.35)
    x_0 = model.means.detach().repeat(30, 1, 1, 1)
    x_0 = x_0 + 0.35 * torch.randn_like(x_0)
    strategy = Racing()
    size = PassSize(strategy.largest_pass(len(x_0), 10))
    table = run(model, x_0, strategy, grid=GoldenGrid(), evaluations_per_batch=size)
    assert table.counts.amax(dim=1).unique().numel() > 5  # decided in many rounds
    assert size.filling.underfilled <= 0.05 * size.filling.evaluations


def test_a_size_that_few_images_cut_short_is_found_again_for_more(gaussian, monkeypatch):
    """And fewer images do not lose it."""
    monkeypatch.setattr(
        "diffclf_lightning.evaluation.passes.find_evaluations_per_batch",
        lambda forward, largest, device: forward(1) and 2 ** min(6, largest.bit_length() - 1),
    )
    size, found = PassSize(), []
    for limit in (5, 6, 40, 1000, 3000, 9):
        if size.wanting(limit):
            size.find(gaussian, torch.rand(2, 1, 3, 3), gaussian.condition(range(4)), [0], limit)
            found.append(limit)
        size.begin(limit)
        assert size.size == min(limit, size.evaluations)
    assert found == [5, 40, 1000]  # 64 is what is best, and not cut short
    assert size.evaluations == 64
    size.whole = True
    assert (size.size, size.wanting(10**6)) == (64, False)
