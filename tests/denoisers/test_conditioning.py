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


def test_means_of_groups(told):
    mean = told.mean([2, 1])
    assert torch.allclose(mean["states"], torch.stack([(told["states"][0] + told["states"][1]) / 2,
                                                       told["states"][2]]))  # fmt: skip
    assert mean["mask"].tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert torch.equal(mean["ids"], told["ids"])


def test_some_rows_are_replaced(told):
    nothing = told.rows(torch.tensor([1]))
    dropped = told.replaced(torch.tensor([True, False, True]), nothing)
    for keyword in ("states", "mask", "pooled"):
        expected = torch.stack([told[keyword][i] for i in (1, 1, 1)])
        expected[1] = told[keyword][1]
        assert torch.equal(dropped[keyword], expected)
    assert torch.equal(dropped["ids"], told["ids"])
