import pytest
import torch

from diffclf_lightning.denoisers import Conditioning


@pytest.fixture
def told(seed):
    """Three prompts of a text-to-image model: states, a mask, pooled states, ids for all."""
    tensors = {
        "states": torch.randn(3, 4, 5),
        "mask": torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]),
        "pooled": torch.randn(3, 7),
        "ids": torch.arange(4)[:, None],
    }
    return Conditioning(tensors, shared=["ids"])


def test_it_is_passed_on_as_keywords(told):
    def network(states, mask, pooled, ids):
        return len(states), len(mask), len(pooled), len(ids)

    assert network(**told) == (3, 3, 3, 4)
    assert told.num_rows == 3
    assert told.num_bytes == 3 * 4 * 5 * 4 + 12 * 8 + 21 * 4 + 4 * 8


def test_rows_are_taken_of_all_but_what_is_shared(told):
    rows = told.rows(torch.tensor([2, 0, 2, 2]))
    assert rows.num_rows == 4
    for keyword in ("states", "mask", "pooled"):
        expected = torch.stack([told[keyword][i] for i in (2, 0, 2, 2)])
        assert torch.equal(rows[keyword], expected)
    assert torch.equal(rows["ids"], told["ids"])


def test_parts_are_put_together_and_padded(told):
    longer = Conditioning(
        {
            "states": torch.randn(2, 6, 5), "mask": torch.ones(2, 6, dtype=torch.int64),
            "pooled": torch.randn(2, 7), "ids": told["ids"],
        },
        shared=["ids"],
    )  # fmt: skip
    both = Conditioning.cat([told, longer])
    assert both.num_rows == 5
    assert torch.equal(both["states"][:3, :4], told["states"])
    assert torch.equal(both["states"][3:], longer["states"])
    assert not both["states"][:3, 4:].any()
    assert both["mask"].sum(dim=1).tolist() == [2, 4, 1, 6, 6]
    assert torch.equal(both["pooled"], torch.cat([told["pooled"], longer["pooled"]]))
    assert torch.equal(both["ids"], told["ids"])


def averaged(rows, weights, mask):
    """The mean at each place over the rows that have a token there, by plain loops."""
    mean = torch.zeros(rows.shape[1:])
    for place in range(rows.shape[1]):
        read = [i for i in range(len(rows)) if mask[i, place] and weights[i] > 0]
        for i in read:
            mean[place] += rows[i, place] * weights[i] / sum(weights[j] for j in read)
    return mean


def test_means_of_groups(told):
    mean = told.mean([2, 1])
    first = averaged(told["states"][:2], [1, 1], told["mask"])
    assert torch.allclose(mean["states"][0], first, atol=1e-6)
    assert torch.equal(mean["states"][0, 2:], told["states"][1, 2:])  # one prompt has them alone
    assert torch.equal(mean["states"][1], told["states"][2])
    assert torch.allclose(mean["pooled"][0], (told["pooled"][0] + told["pooled"][1]) / 2)
    assert mean["mask"].tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert torch.equal(mean["ids"], told["ids"])


def test_mixtures(told):
    weights = torch.tensor([[0.2, 0.3, 0.5], [0.4, 0.0, 0.6], [1.0, 0.0, 0.0]], requires_grad=True)
    mixed = told.mixed(weights)
    for row, share in enumerate(weights.tolist()):
        expected = averaged(told["states"], share, told["mask"])
        assert torch.allclose(mixed["states"][row], expected, atol=1e-6)
    assert torch.allclose(mixed["pooled"], weights @ told["pooled"], atol=1e-6)
    assert mixed["mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    (slopes,) = torch.autograd.grad(mixed["states"].sum(), weights)
    assert slopes.isfinite().all()


def test_without_a_mask_every_place_counts(told):
    plain = Conditioning({"states": told["states"], "pooled": told["pooled"]})
    assert torch.allclose(plain.mean([3])["states"][0], told["states"].mean(dim=0), atol=1e-6)
    mixed = plain.mixed(torch.tensor([[0.5, 0.5, 0.0]]))
    assert torch.allclose(mixed["states"][0], told["states"][:2].mean(dim=0), atol=1e-6)


def test_states_of_two_encoders_have_masks_of_their_own(told):
    """Of equal lengths too."""
    other = {"late": torch.randn(3, 4, 2), "late_mask": told["mask"].flip(1).bool()}
    mean = Conditioning({**told, **other}, shared=["ids"]).mean([3])
    expected = averaged(told["states"], [1, 1, 1], told["mask"])
    assert torch.allclose(mean["states"][0], expected, atol=1e-6)
    expected = averaged(other["late"], [1, 1, 1], other["late_mask"])
    assert torch.allclose(mean["late"][0], expected, atol=1e-6)


def test_means_in_half_precision_do_not_overflow():
    states = torch.full((80, 2, 1), 3e4, dtype=torch.float16)
    mask = torch.ones(80, 2, dtype=torch.int64)
    assert (Conditioning({"states": states, "mask": mask}).mean([80])["states"] == 3e4).all()


def test_some_rows_are_replaced(told):
    nothing = told.rows(torch.tensor([1]))
    dropped = told.replaced(torch.tensor([True, False, True]), nothing)
    for keyword in ("states", "mask", "pooled"):
        expected = torch.stack([told[keyword][i] for i in (1, 1, 1)])
        expected[1] = told[keyword][1]
        assert torch.equal(dropped[keyword], expected)
    assert torch.equal(dropped["ids"], told["ids"])
