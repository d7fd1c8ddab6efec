import pytest
import torch

from diffclf_lightning import InputError
from diffclf_lightning.evaluation import get_loss

FORMULAS = {
    "l2": lambda d: d**2,
    "l1": abs,
    "huber": lambda d: d**2 / 2 if abs(d) < 1 else abs(d) - 0.5,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_loss_is_the_mean_of_the_formula(name, seed):
    noise, prediction = 2 * torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    expected = [
        sum(FORMULAS[name](d) for d in row.flatten().tolist()) / row.numel()
        for row in noise - prediction
    ]
    assert get_loss(name)(noise, prediction).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_loss_is_float32_in_half_precision(name, seed):
    noise, prediction = torch.randn(2, 2, 64, 64), torch.randn(2, 2, 64, 64).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        half = get_loss(name)(noise, prediction)
    assert half.dtype == torch.float32
    assert torch.allclose(half, get_loss(name)(noise, prediction.float()), rtol=1e-6)


def test_unknown_loss_is_named():
    with pytest.raises(InputError, match=r"`loss`.*l2, l1, huber.*'l3'"):
        get_loss("l3")
