import pytest
import torch

from diffclf_lightning import InputError
from diffclf_lightning.evaluation import NoiseLoss, Prediction, Sum, get_loss, get_losses, l1, l2

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
    assert get_loss(name)(noise, Prediction(prediction)).tolist() == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_loss_is_float32_in_half_precision(name, seed):
    noise, prediction = torch.randn(2, 2, 64, 64), torch.randn(2, 2, 64, 64).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        half = get_loss(name)(noise, Prediction(prediction))
    assert half.dtype == torch.float32
    assert torch.allclose(half, get_loss(name)(noise, Prediction(prediction.float())), rtol=1e-6)


def test_unknown_loss_is_named():
    with pytest.raises(InputError, match=r"`loss`.*l2, l1, huber.*'l3'"):
        get_loss("l3")


def test_functions_and_objects_are_losses_too(seed):
    def cubed(noise, prediction):
        return (noise - prediction).abs().pow(3).flatten(1).mean(dim=1)

    noise, prediction = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    loss = get_loss(cubed)
    assert (loss.name, loss.needs_variance) == ("cubed", False)
    expected = [sum(abs(d) ** 3 for d in row.flatten().tolist()) / 32 for row in noise - prediction]
    assert loss(noise, Prediction(prediction)).tolist() == pytest.approx(expected, rel=1e-5)
    named = NoiseLoss(cubed, "mine")
    assert get_loss(named) is named
    assert named.name == "mine"


def test_sum_adds_its_losses_and_names_them(seed):
    noise, prediction = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    loss = Sum([NoiseLoss(l1), NoiseLoss(l2), NoiseLoss(l1)])
    expected = [
        sum(2 * abs(d) + d**2 for d in row.flatten().tolist()) / 32 for row in noise - prediction
    ]
    assert loss(noise, Prediction(prediction)).tolist() == pytest.approx(expected, rel=1e-5)
    assert (loss.name, loss.needs_variance) == ("l1+l2+l1", False)
    assert get_loss("l2+bound").needs_variance
    assert get_loss("bound").needs_variance


@pytest.mark.parametrize("others", [["l1", "l2"], ["l1", "l1"], [l1, "l1"]])
def test_the_same_loss_twice_is_refused(others):
    with pytest.raises(InputError, match=r"`other_losses` .* but got '(l1|l2)' twice"):
        get_losses("l2", others)


def test_a_string_is_no_list_of_losses():
    with pytest.raises(InputError, match=r"`other_losses` to be a list, but got 'l1'"):
        get_losses("l2", "l1")


def test_an_empty_sum_is_refused():
    with pytest.raises(InputError, match="`losses` to have a loss"):
        Sum([])
