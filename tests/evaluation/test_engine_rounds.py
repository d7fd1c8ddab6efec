"""Rounds: strategies that decide by themselves, and what a round costs."""

import pytest
import torch
from running import run

from diffclf_lightning import Full, InputError, Staged, Strategy
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.evaluation import (
    ElementwiseLoss,
    NestedGrid,
    NoiseBank,
    NoiseSource,
    TrialSource,
    evaluate,
    get_losses,
    l2,
)


@pytest.fixture
def gaussian(seed):
    return GaussianDenoiser(torch.rand(4, 1, 3, 3) * 2 - 1, std=0.5)


def test_an_image_without_a_candidate_is_refused(gaussian):
    allowed = torch.ones(3, 4, dtype=torch.bool)
    allowed[1] = False
    with pytest.raises(InputError, match=r"`allowed`.* 1 of"):
        run(gaussian, torch.rand(3, 1, 3, 3), Full(2), allowed=allowed)


class StopWhenFarApart(Strategy):
    """Two trials at a time for all, until the best is far enough ahead, or 20."""

    stages = tuple(range(2, 21, 2))

    def __init__(self, gap):
        self.gap = gap

    def further(self, table):
        two = table.means.masked_fill(table.means.isnan(), 0).topk(2, dim=1, largest=False).values
        met = table.counts.amax(dim=1)
        going = ((two[:, 1] - two[:, 0] <= self.gap) | (met == 0)) & (met < 20)
        return (2 * going)[:, None].expand_as(table.counts)

    def finalists(self, table):
        return table.allowed

    def evaluations(self, num_candidates):
        return 20 * num_candidates


def test_a_strategy_may_stop_when_it_likes_and_decided_images_cost_nothing(gaussian):
    x_0 = torch.rand(9, 1, 3, 3) * 2 - 1
    errors = run(gaussian, x_0, StopWhenFarApart(float("inf"))).dense("l2")
    assert errors.shape[-1] == 20

    def ahead(image, end):
        best, second = errors[image, :, :end].double().mean(dim=1).sort().values[:2].tolist()
        return second - best

    gap = sorted(ahead(i, 2) for i in range(9))[5]  # the first round decides three of nine
    seen = []
    table = run(gaussian, x_0, StopWhenFarApart(gap), on_progress=seen.append)
    assert sum(seen) == int(table.counts.sum())
    for i in range(9):
        first = next(e for e in StopWhenFarApart.stages if ahead(i, e) > gap or e == 20)
        assert table.counts[i].unique().tolist() == [first]
    assert (table.counts[:, 0] == 2).sum() == 3


def test_asking_for_more_trials_than_there_are_is_an_error(gaussian):
    class Greedy(StopWhenFarApart):
        stages = (2,)

    with pytest.raises(RuntimeError, match="stages"):
        run(gaussian, torch.rand(3, 1, 3, 3), Greedy(float("inf")))


def test_further_losses_cost_no_forward_pass_and_have_to_be_finite(gaussian):
    calls = []
    predict = gaussian.predict
    gaussian.predict = lambda *args: calls.append(1) or predict(*args)
    x_0 = torch.rand(3, 1, 3, 3)
    run(gaussian, x_0, Staged((2, 6), (3, 1)), ["l2"], evaluations_per_batch=3)
    single = len(calls)
    run(gaussian, x_0, Staged((2, 6), (3, 1)), ["l2", "l1", "huber"], evaluations_per_batch=3)
    assert len(calls) == 2 * single
    bad = ElementwiseLoss(lambda truth, said: l2(truth, said) / 0, name="bad")
    with pytest.raises(InputError, match=r"inf for candidate 0 at timestep 500 \(bad, image 0"):
        run(gaussian, x_0, Full(1), ["l2", bad])


def test_the_score_decides_about_pruning(gaussian):
    """Of two losses that are each other's opposite, whichever decides."""
    opposite = ElementwiseLoss(lambda truth, said: -l2(truth, said), name="opposite")
    x_0, kept = torch.rand(3, 1, 3, 3) * 2 - 1, []
    for losses in (["l2", opposite], [opposite, "l2"]):
        table = run(gaussian, x_0, Staged((2, 6), (2, 1)), losses)
        decides = get_losses(losses)[0].name
        order = table.dense(decides)[..., :2].mean(dim=-1).argsort(dim=1)
        met = (table.counts == 6).nonzero()[:, 1].view(3, 2)
        assert torch.equal(order[:, :2].sort().values, met)
        kept.append(order)
    assert torch.equal(kept[0], kept[1].flip(1))


def test_noise_is_drawn_as_it_is_needed(gaussian):
    """No noise of trials that nobody meets."""

    class Counted(NoiseSource):
        on_host, asked = False, 0

        def reserve(self, trials):
            self.asked = max(self.asked, trials)

        def rows(self, image, trial):
            assert int(trial.max()) < self.asked
            return torch.zeros(len(trial), 1, 3, 3)

    strategy = StopWhenFarApart(-1.0)  # always far enough
    source = TrialSource(NestedGrid(), NoiseBank(), strategy.stages, (1, 3, 3))
    trials = source(torch.rand(2, 1, 3, 3))
    counted = type(trials)(trials.times, Counted())
    bound = strategy.bind(4, source.ends)
    evaluate(gaussian, torch.rand(2, 1, 3, 3), gaussian.condition(range(4)), counted, bound,
             get_losses(["l2"]))  # fmt: skip
    assert counted.noise.asked == 2
