"""Schedules against diffusers' own schedulers and the formulas."""

from fractions import Fraction

import diffusers
import pytest
import torch

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import EDM, FlowMatching, VariancePreserving
from diffclf_lightning.denoisers.schedules import schedule_of
from diffclf_lightning.evaluation import Noised, Prediction

TIMES = [Fraction(i, 37) for i in range(1, 37)]
SCHEDULES = {
    "epsilon": schedule_of(diffusers.DDPMScheduler()),
    "v": schedule_of(diffusers.DDPMScheduler(prediction_type="v_prediction")),
    "sample": schedule_of(diffusers.DDPMScheduler(prediction_type="sample")),
    "flow": schedule_of(diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)),
    "backwards": FlowMatching(time_scale=1.0, sign=-1),
    "reversed": FlowMatching(time_scale=1.0, sign=-1, reversed_time=True),
    "edm": EDM(),
}


@pytest.fixture(params=SCHEDULES)
def schedule(request):
    return SCHEDULES[request.param]


def test_scales_are_those_of_double_precision():
    """In half precision the noise scale at t = 0 and 1 would be 7% wrong."""
    schedule = VariancePreserving(diffusers.DDIMScheduler(beta_schedule="linear"))
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    abar = (1 - betas).cumprod(0)
    alpha, sigma = schedule.scales(torch.arange(1000))
    assert torch.allclose(alpha.double(), abar.sqrt(), rtol=1e-5)
    assert torch.allclose(sigma.double(), (1 - abar).sqrt(), rtol=2e-3)
    assert ((sigma.double() / (1 - abar).sqrt() - 1).abs()[2:] < 1e-3).all()


@pytest.mark.parametrize("steps", [1000, 1100])
def test_exact_times_are_the_timesteps_of_the_scheduler(steps):
    schedule = schedule_of(diffusers.DDPMScheduler(num_train_timesteps=steps))
    every = [Fraction(t, steps) for t in range(steps)]
    assert schedule(every).timestep.tolist() == list(range(steps))
    last = torch.tensor([0.0, 0.5, 1 - 1e-9], dtype=torch.float64)
    assert schedule(last).timestep.tolist() == [0, steps // 2, steps - 1]


def test_flow_is_diffusers_interpolation_and_one_step_back(seed):
    """x_t as its scheduler makes it; a step of it from sigma to 0 with the true target is x_0."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(10)
    schedule = schedule_of(scheduler)
    x_0, noise = torch.randn(2, 1, 4, 4)
    for place, timestep in enumerate(scheduler.timesteps):
        at = schedule.of(timestep[None])
        noised = Noised(x_0[None], noise[None], at)
        theirs = scheduler.scale_noise(x_0[None], timestep[None], noise[None])
        assert torch.allclose(noised.x_t, theirs, atol=1e-6)
        assert at.sigma.item() == pytest.approx(scheduler.sigmas[place].item())
        back = noised.x_t - at.sigma * schedule.target.of(noised)
        assert torch.allclose(back[0], x_0, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_networks_of_reversed_time_are_told_how_far_the_data_is(scale):
    """Told 1 - t, where t of the sample is noise."""
    at = FlowMatching(time_scale=scale, reversed_time=True)([Fraction(0), Fraction(1, 4)])
    assert at.timestep.tolist() == pytest.approx([scale, 0.75 * scale])
    assert at.sigma.tolist() == pytest.approx([0, 0.25])
    assert at.alpha.tolist() == pytest.approx([1, 0.75])
    assert at.time.tolist() == pytest.approx([0, 0.25])


def test_edm_times_are_those_of_karras():
    """Equation 5, whose order runs from the largest sigma down."""
    scheduler = diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    scheduler.set_timesteps(25)
    ramp = [Fraction(i, 24) for i in range(24)]
    ours = EDM(0.002, 80.0, 7.0)(ramp)
    theirs = scheduler.sigmas[:-1].flip(0)[:24]
    assert torch.allclose(ours.sigma, theirs, rtol=1e-4)
    assert torch.allclose(ours.timestep, theirs.log() / 4, atol=1e-4)
    assert ours.alpha.unique().tolist() == [1]


def test_a_perfect_output_is_noise_sample_and_velocity(schedule, seed):
    at = schedule(TIMES)
    noised = Noised(*torch.randn(2, len(TIMES), 2, 4, 4), at)
    perfect = Prediction(noised, schedule.target.of(noised), schedule.target)
    for name in ("noise", "x_0", "velocity"):
        said, truth = getattr(perfect, name), getattr(noised, name)
        # What stands behind a scale near 0 is lost in float32, relative to it.
        scale = {"noise": at.sigma, "x_0": at.alpha}.get(name, torch.ones(1))
        off = (said - truth).flatten(1).abs().amax(dim=1) * scale
        assert (off < 1e-4 * (1 + at.sigma)).all(), name


def test_velocity_is_the_derivative_of_the_path(schedule, seed):
    """By differences: along the angle for variance preserving, else along sigma."""
    x_0, noise = torch.randn(2, 1, 5, dtype=torch.float64)
    at = schedule([Fraction(1, 3)])
    alpha, sigma, step = at.alpha.double(), at.sigma.double(), 1e-4

    def moved(by):
        if isinstance(schedule, VariancePreserving):
            angle = torch.atan2(sigma, alpha) + by
            return angle.cos() * x_0 + angle.sin() * noise
        lost = by if isinstance(schedule, FlowMatching) else 0
        return (alpha - lost) * x_0 + (sigma + by) * noise

    difference = (moved(step) - moved(-step)) / (2 * step)
    velocity = Noised(x_0, noise, at).velocity.double()
    assert torch.allclose(velocity, difference, atol=1e-4)


def test_everything_is_float32_under_half_precision(schedule, seed):
    x_0, noise = torch.randn(2, 3, 1, 4, 4)
    expected = Noised(x_0, noise, schedule(TIMES[:3])).x_t
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            at = schedule(TIMES[:3])
            x_t = Noised(x_0, noise, at).x_t
    finally:
        torch.set_default_dtype(default)
    assert x_t.dtype == at.alpha.dtype == at.sigma.dtype == at.time.dtype == torch.float32
    assert torch.equal(x_t, expected)


def test_flow_is_told_from_schedulers_that_carry_both():
    """Some schedulers of flow models have `alphas_cumprod` that mean nothing."""
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True
    )
    assert hasattr(scheduler, "alphas_cumprod")
    assert isinstance(schedule_of(scheduler), FlowMatching)


def test_unusable_schedulers_are_named():
    with pytest.raises(InputError, match="EDMEulerScheduler"):
        schedule_of(diffusers.EDMEulerScheduler())
    with pytest.raises(InputError, match=r"`prediction_type`.*'other'"):
        schedule_of(diffusers.DDPMScheduler(prediction_type="other"))
