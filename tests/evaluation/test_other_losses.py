"""Several losses of one pass: the same as one pass each, at the cost of one."""

import pytest
import tiny
import torch

from diffclf_lightning import ErrorTable, Full, InputError, Staged
from diffclf_lightning.evaluation import NestedGrid, Noise, NoiseLoss, TrialSource, evaluate, l1, l2

LOSSES = ["l2", "l1", "bound", "l2+bound"]


@pytest.fixture
def dit(seed):
    return tiny.dit_with_vae()


@pytest.fixture
def x_0(seed):
    return torch.randn(3, 4, 8, 8)


def run(model, x_0, strategy, *losses, **kwargs):
    source = TrialSource(NestedGrid(), Noise(0), strategy.trials, 1000, x_0.shape[1:])
    loss, *others = losses
    conditioning = model.condition(range(5))
    return evaluate(model, x_0, conditioning, source(x_0), strategy, loss, others, **kwargs)


def test_losses_of_one_pass_are_those_of_a_pass_each(dit, x_0):
    together = run(dit, x_0, Full(6), *LOSSES)
    assert list(together.others) == LOSSES[1:]
    for name in LOSSES:
        alone = run(dit, x_0, Full(6), name)
        under = together if name == LOSSES[0] else together.under(name)
        assert torch.equal(under.errors, alone.errors)
        assert torch.equal(under.predictions, alone.predictions)
        assert torch.equal(under.label_scores(5), alone.label_scores(5))
    sums = together.errors + together.others["bound"]
    assert torch.allclose(together.others["l2+bound"], sums)


def test_others_cost_no_forward_pass(dit, x_0):
    rows, seen = [], []
    dit.model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    strategy = Staged((2, 6), (3, 1))
    table = run(dit, x_0, strategy, *LOSSES, evaluations_per_batch=3, on_progress=seen.append)
    assert sum(rows) == sum(seen) == int(table.evaluations.sum()) == 3 * strategy.evaluations(5)


def test_the_first_decides_about_pruning(dit, x_0):
    """Of two losses that are each other's opposite, whichever comes first."""
    opposite = NoiseLoss(lambda noise, prediction: -l2(noise, prediction), "opposite")
    kept = []
    for losses in ((l2, opposite), (opposite, l2)):
        table = run(dit, x_0, Staged((2, 6), (2, 1)), *losses)
        order = table.errors[..., :2].mean(dim=-1).argsort(dim=1)
        assert torch.equal(
            order[:, :2].sort().values, (table.counts == 6).nonzero()[:, 1].view(3, 2)
        )
        for other in table.others.values():
            assert torch.equal(other.isnan(), table.errors.isnan())
        kept.append(order)
    assert torch.equal(kept[0], kept[1].flip(1))


def table_of_two():
    """Both meet all trials, a third one does not: l2 keeps the first, l1 would take the second."""
    nan = torch.nan
    errors = torch.tensor([[[1.0, 1.0, 1.0], [2.0, 1.0, 1.0], [3.0, nan, nan]]])
    others = {"l1": torch.tensor([[[5.0, 5.0, 5.0], [5.0, 4.0, 5.0], [1.0, nan, nan]]])}
    alive = torch.tensor([[True, False, False]])
    return ErrorTable(errors, alive, torch.tensor([0, 1, 2]), others)


def test_another_loss_chooses_among_candidates_that_met_all_trials():
    """Else it could not differ, for the one that decides leaves a single survivor."""
    table = table_of_two()
    assert table.predictions.tolist() == [0]
    under = table.under("l1")
    assert under.predictions.tolist() == [1]
    best = (5 + 4 + 5) / 3
    # The pruned one is compared with the best over its own trial: 1 - 5 less.
    assert under.label_scores(3)[0].tolist() == pytest.approx([best + 1 / 3, best, best - 4])


def test_unknown_name_is_named():
    with pytest.raises(InputError, match=r"`other_losses` \(l1\), but got 'bound'"):
        table_of_two().under("bound")


def test_errors_of_other_losses_have_to_be_finite(dit, x_0):
    bad = NoiseLoss(lambda noise, prediction: l1(noise, prediction) / 0, "bad")
    with pytest.raises(InputError, match=r"gave inf for candidate 0 at timestep 500 \(bad, image"):
        run(dit, x_0, Full(1), l2, bad)
