"""The variational bound against its definition, on a network that predicts its variance."""

import math

import pytest
import tiny
import torch
from diffusers import DDPMScheduler
from torch.distributions import Normal, kl_divergence

from diffclf_lightning import InputError
from diffclf_lightning.evaluation import Noised, NoiseTarget, Prediction, get_loss

TIMESTEPS = [0, 1, 2, 6, 50, 250, 500, 998, 999]
EXACT_BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)


@pytest.fixture
def dit(seed):
    model = tiny.dit_with_vae()
    model.model.proj_out_2.weight.data.mul_(2)  # variances outside of the two extremes too
    return model


def noised_at(model, timesteps):
    """Random samples with known noise."""
    t = torch.tensor(timesteps)
    return Noised(*torch.randn(2, len(t), 4, 8, 8), model.schedule.of(t))


@torch.no_grad()
def said(model, timesteps):
    """What is drawn, what our denoiser says of it, and the network's own output in float64."""
    noised = noised_at(model, timesteps)
    t = noised.at.timestep
    c = torch.randint(5, t.shape)
    output = model.model(noised.x_t, timestep=t, class_labels=c).sample.double()
    prediction = model.predict(noised, {"class_labels": c})
    return t, noised.x_0.double(), noised.noise.double(), prediction, output


def definition(betas, t, x_0, noise, output):
    """KL of q(x_{t-1} | x_t, x_0) and p(x_{t-1} | x_t) by equations 6 and 7 of Ho et al. (2020)."""
    abar = (1 - betas).cumprod(0)
    before = torch.cat([torch.ones(1), abar[:-1]]).double()
    beta_tilde = (1 - before) / (1 - abar) * betas
    beta_tilde[0] = beta_tilde[1]
    beta, abar, before, beta_tilde = (
        values[t].reshape(-1, 1, 1, 1) for values in (betas, abar, before, beta_tilde)
    )
    x_t = abar.sqrt() * x_0 + (1 - abar).sqrt() * noise

    def mean(x_0):
        of_x_0, of_x_t = before.sqrt() * beta, (1 - beta).sqrt() * (1 - before)
        return (of_x_0 * x_0 + of_x_t * x_t) / (1 - abar)

    predicted_noise, v = output.chunk(2, dim=1)
    predicted_x_0 = (x_t - (1 - abar).sqrt() * predicted_noise) / abar.sqrt()
    fraction = (v + 1) / 2
    variance = (fraction * beta.log() + (1 - fraction) * beta_tilde.log()).exp()
    q = Normal(mean(x_0), beta_tilde.sqrt().expand_as(x_0))
    p = Normal(mean(predicted_x_0), variance.sqrt())
    return kl_divergence(q, p).flatten(1).mean(dim=1) / math.log(2)


def test_bound_is_the_divergence_of_the_two_steps(dit):
    t, x_0, noise, prediction, output = said(dit, TIMESTEPS)
    bound = get_loss("bound")(prediction.noised, prediction)
    assert bound.dtype == torch.float32
    expected = definition(EXACT_BETAS, t, x_0, noise, output)
    assert torch.allclose(bound.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 7])
def test_rows_do_not_depend_on_their_batch(dit, count):
    t, x_0, noise, prediction, output = said(dit, torch.randint(1000, (count,)).tolist())
    expected = definition(EXACT_BETAS, t, x_0, noise, output)
    bound = get_loss("bound")(prediction.noised, prediction)
    assert torch.allclose(bound.double(), expected, atol=1e-5)


def test_variance_is_that_of_diffusers(dit):
    """Whose betas are differences in float32, off by up to 1e-3 where they are small."""
    scheduler = DDPMScheduler(beta_start=1e-4, beta_end=0.02, variance_type="learned_range")
    for timestep, tolerance in ((1, 2e-3), (2, 2e-3), (250, 1e-4), (500, 1e-4), (999, 1e-4)):
        *_, prediction, output = said(dit, [timestep] * 3)
        theirs = scheduler._get_variance(timestep, predicted_variance=output[:, 4:].float())
        assert torch.allclose(prediction.log_variance, theirs, atol=tolerance)


@pytest.mark.parametrize("v", [-1.0, 1.0])
def test_extremes_are_the_two_variances_of_the_forward_process(dit, v):
    t = torch.arange(1, 1000)
    step = dit.schedule.reverse(t)
    abar = (1 - EXACT_BETAS).cumprod(0)
    lower = EXACT_BETAS[1:] * (1 - abar[:-1]) / (1 - abar[1:])
    expected = (lower if v < 0 else EXACT_BETAS[1:]).log()
    log_variance = step.log_variance(torch.full((999, 1), v))
    assert torch.allclose(log_variance[:, 0].double(), expected, atol=1e-5)
    assert torch.allclose(step.log_posterior_variance.double(), lower.log(), atol=1e-5)


def test_a_perfect_step_has_no_bound(dit, seed):
    noised = noised_at(dit, [0, 1, 500, 999])
    log_variance = noised.at.reverse.log_variance(-torch.ones_like(noised.x_0))
    perfect = Prediction(noised, noised.noise, NoiseTarget(), log_variance)
    assert torch.allclose(get_loss("bound")(noised, perfect), torch.zeros(4), atol=1e-6)


@torch.no_grad()
def test_precision_of_the_network_leaves_the_bound_in_float32(dit):
    """As if the network had said in float32 what it said in half precision."""
    half = dit.to(torch.bfloat16)
    noised = noised_at(half, TIMESTEPS)
    t, c = noised.at.timestep, torch.zeros(len(TIMESTEPS), dtype=torch.int64)
    with torch.autocast("cpu", torch.bfloat16):
        bound = get_loss("bound")(noised, half.predict(noised, {"class_labels": c}))
        output = half.model(noised.x_t.bfloat16(), timestep=t, class_labels=c).sample.double()
    expected = definition(EXACT_BETAS, t, noised.x_0.double(), noised.noise.double(), output)
    assert bound.dtype == torch.float32
    assert torch.allclose(bound.double(), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_only_networks_of_twice_the_channels_predict_their_variance(dit):
    assert dit.predicts_variance
    model = tiny.unet()
    assert not model.predicts_variance
    noised = Noised(*torch.randn(2, 1, 1, 8, 8), model.schedule.of(torch.tensor([3])))
    prediction = model.predict(noised, model.condition([3]))
    assert prediction.log_variance is None
    with pytest.raises(InputError, match=r"'bound'"):
        get_loss("bound")(noised, prediction)
    wide = tiny.unet(out_channels=2)
    output = wide.model(noised.x_t, noised.at.timestep, class_labels=torch.tensor([3])).sample
    prediction = wide.predict(noised, wide.condition([3]))
    assert torch.equal(prediction.noise, output[:, :1])
    assert torch.equal(prediction.log_variance, noised.at.reverse.log_variance(output[:, 1:]))
