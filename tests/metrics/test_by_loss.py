import pytest
import torch

from diffclf_lightning.metrics import Count, SetMetrics, clopper_pearson

NAMES = ["l1", "l2+bound"]


def fill(metrics, labels, predictions, others):
    size = len(labels)
    scores = torch.rand(size, 7)
    metrics.update(
        scores, scores.softmax(dim=1), predictions, labels, torch.ones(size), 0.1,
        dict(zip(NAMES, others, strict=True)),
    )  # fmt: skip


def test_correct_images_by_loss_add_up_over_batches_and_ranks(seed):
    """Ranks are joined as torchmetrics joins them: every state by its own reduction."""
    labels, predictions = torch.randint(7, (60,)), torch.randint(7, (60,))
    others = torch.randint(7, (2, 60))
    ranks = [SetMetrics(7, other_losses=NAMES) for _ in range(2)]
    for metrics, part in zip(ranks, (range(25), range(25, 60)), strict=True):
        for batch in torch.tensor(part).split(9):
            fill(metrics, labels[batch], predictions[batch], others[:, batch])
    for mine, theirs in zip(ranks[0].children(), ranks[1].children(), strict=True):
        for name, reduction in mine._reductions.items():
            states = [getattr(metric, name) for metric in (mine, theirs)]
            if isinstance(states[0], list):
                setattr(mine, name, states[0] + states[1])
            else:
                setattr(mine, name, reduction(torch.stack(states)))
        mine._computed = None
    report = ranks[0].compute()
    assert (report.correct, report.total) == (int((predictions == labels).sum()), 60)
    expected = {n: int((o == labels).sum()) for n, o in zip(NAMES, others, strict=True)}
    assert {name: count.correct for name, count in report.other_losses.items()} == expected
    for name, count in report.other_losses.items():
        assert count.total == 60
        assert count.interval == clopper_pearson(expected[name], 60)
        assert report.scalars()[f"accuracy_{name}"] == pytest.approx(expected[name] / 60)


def test_without_other_losses_there_is_nothing_by_loss(seed):
    metrics, one = SetMetrics(7), torch.tensor([0])
    metrics.update(torch.rand(1, 7), torch.rand(1, 7).softmax(dim=1), one, one, one + 3, 1.0)
    assert metrics.compute().other_losses == {}


def test_count_is_a_share():
    assert Count(3, 4).accuracy == 0.75


def test_one_other_loss_is_enough(seed):
    metrics, labels, other = (
        SetMetrics(7, other_losses=["l1"]),
        torch.arange(7),
        torch.zeros(7).long(),
    )
    scores = torch.rand(7, 7)
    metrics.update(
        scores, scores.softmax(dim=1), labels, labels, torch.ones(7), 0.1, {"l1": other}
    )  # fmt: skip
    assert metrics.compute().other_losses == {"l1": Count(1, 7)}
