import pytest
import torch

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import FlowMatching
from diffclf_lightning.evaluation import (
    ElementwiseLoss,
    FlowTarget,
    Noised,
    NoiseTarget,
    Prediction,
    SampleTarget,
    Sum,
    VTarget,
    get_loss,
    get_losses,
    l1,
    l2,
)

FORMULAS = {
    "l2": lambda d: d**2,
    "l1": abs,
    "huber": lambda d: d**2 / 2 if abs(d) < 1 else abs(d) - 0.5,
}


def said(rows, dtype=torch.float32):
    """Random samples at half the way of a flow, and a random network's output."""
    x_0, noise, output = 2 * torch.randn(3, rows, 2, 4, 4)
    noised = Noised(x_0, noise, FlowMatching()(torch.full((rows,), 0.5)))
    return noised, Prediction(noised, output.to(dtype), FlowTarget())


def differences(noised, prediction, quantity):
    """From the flow's own formulas: x_t = x_0 / 2 + noise / 2, output = noise - x_0."""
    off = prediction.output - (noised.noise - noised.x_0)
    of = {"noise": 0.5, "x_0": -0.5, "velocity": 1.0}
    return (of[quantity] * off).double()


@pytest.mark.parametrize("quantity", ["noise", "x_0", "velocity"])
@pytest.mark.parametrize("name", FORMULAS)
def test_loss_is_the_mean_of_the_formula(name, quantity, seed):
    noised, prediction = said(3)
    expected = [
        sum(FORMULAS[name](d) for d in row.flatten().tolist()) / row.numel()
        for row in differences(noised, prediction, quantity)
    ]
    loss = get_loss(name if quantity == "noise" else f"{name}_{quantity}")
    assert loss(noised, prediction).tolist() == pytest.approx(expected, rel=1e-4)


TRUTHS = {
    "noise": (NoiseTarget(), lambda x_0, noise, alpha, sigma: noise),
    "x_0": (SampleTarget(), lambda x_0, noise, alpha, sigma: x_0),
    "v": (VTarget(), lambda x_0, noise, alpha, sigma: alpha * noise - sigma * x_0),
    "flow": (FlowTarget(), lambda x_0, noise, alpha, sigma: noise - x_0),
    "flow back": (FlowTarget(-1), lambda x_0, noise, alpha, sigma: x_0 - noise),
}


@pytest.mark.parametrize("kind", TRUTHS)
@pytest.mark.parametrize("name", FORMULAS)
def test_losses_of_the_target_compare_outputs(name, kind, seed):
    target, truth = TRUTHS[kind]
    noised, _ = said(3)
    output = torch.randn(3, 2, 4, 4).bfloat16()
    found = get_loss(f"{name}_target")(noised, Prediction(noised, output, target))
    assert found.dtype == torch.float32
    off = truth(noised.x_0, noised.noise, 0.5, 0.5) - output.float()
    expected = [sum(map(FORMULAS[name], row.flatten().tolist())) / row.numel() for row in off]
    assert found.tolist() == pytest.approx(expected, rel=1e-4)


def test_of_a_flow_the_choice_of_target_is_a_choice_of_weighting(seed):
    x_0, noise, output = torch.randn(3, 9, 2, 4, 4)
    sigma = torch.linspace(0.05, 0.95, 9)
    noised = Noised(x_0, noise, FlowMatching()(sigma))
    said = Prediction(noised, output, FlowTarget())
    of_target, of_noise, of_x_0 = (
        get_loss(name)(noised, said).tolist() for name in ("l2_target", "l2", "l2_x_0")
    )
    assert of_target == pytest.approx(
        [e / (1 - s) ** 2 for e, s in zip(of_noise, sigma.tolist(), strict=True)], rel=1e-3
    )
    assert of_target == pytest.approx(
        [e / s**2 for e, s in zip(of_x_0, sigma.tolist(), strict=True)], rel=1e-3
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_loss_is_float32_in_half_precision(name, seed):
    noised, prediction = said(2, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        half = get_loss(name)(noised, prediction)
    assert half.dtype == torch.float32
    whole = Prediction(noised, prediction.output.float(), FlowTarget())
    assert torch.allclose(half, get_loss(name)(noised, whole), rtol=1e-6)


def test_unknown_loss_is_named():
    with pytest.raises(InputError, match=r"`loss`.*l2, l1, huber.*'l3'"):
        get_loss("l3")


def test_functions_and_objects_are_losses_too(seed):
    def cubed(truth, prediction):
        return (truth - prediction).abs().pow(3).flatten(1).mean(dim=1)

    noised, prediction = said(3)
    loss = get_loss(cubed)
    assert (loss.name, loss.needs_variance) == ("cubed", False)
    off = differences(noised, prediction, "noise")
    expected = [sum(abs(d) ** 3 for d in row.flatten().tolist()) / 32 for row in off]
    assert loss(noised, prediction).tolist() == pytest.approx(expected, rel=1e-4)
    named = ElementwiseLoss(cubed, name="mine")
    assert get_loss(named) is named
    assert named.name == "mine"


def test_sum_adds_its_losses_and_names_them(seed):
    noised, prediction = said(3)
    loss = Sum([ElementwiseLoss(l1), ElementwiseLoss(l2), ElementwiseLoss(l1)])
    off = differences(noised, prediction, "noise")
    expected = [sum(2 * abs(d) + d**2 for d in row.flatten().tolist()) / 32 for row in off]
    assert loss(noised, prediction).tolist() == pytest.approx(expected, rel=1e-4)
    assert (loss.name, loss.needs_variance) == ("l1+l2+l1", False)
    assert get_loss("l2+bound").needs_variance
    assert get_loss("bound").needs_variance


@pytest.mark.parametrize("losses", [["l2", "l1", "l2"], ["l1", "l1"], [l1, "l1"]])
def test_the_same_loss_twice_is_refused(losses):
    with pytest.raises(InputError, match=r"`other_losses` .*'(l1|l2)' twice"):
        get_losses(losses, "other_losses")


def test_a_string_is_no_list_of_losses():
    with pytest.raises(InputError, match=r"`other_losses` .*'l1'"):
        get_losses("l1", "other_losses")


def test_an_empty_sum_is_refused():
    with pytest.raises(InputError, match="`losses`"):
        Sum([])
