import diffusers
import pytest
import torch

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import Schedule


@pytest.fixture
def schedule():
    return Schedule(diffusers.DDIMScheduler(beta_schedule="linear"))


def test_scales_are_those_of_double_precision(schedule):
    """In half precision the noise scale at t = 0 and 1 would be 7% wrong."""
    t = torch.arange(1000)
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    abar = (1 - betas).cumprod(0)
    alpha, sigma = schedule.scales(t, 1)
    assert torch.allclose(alpha.double(), abar.sqrt(), rtol=1e-5)
    assert torch.allclose(sigma.double(), (1 - abar).sqrt(), rtol=2e-3)
    assert ((sigma.double() / (1 - abar).sqrt() - 1).abs()[2:] < 1e-3).all()


def test_everything_is_float32_under_half_precision(schedule, seed):
    x_0, noise, t = torch.randn(3, 1, 4, 4), torch.randn(3, 1, 4, 4), torch.tensor([0, 1, 999])
    expected = schedule.add_noise(x_0, noise, t)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            x_t = schedule.add_noise(x_0, noise, t)
    finally:
        torch.set_default_dtype(default)
    assert x_t.dtype == torch.float32
    assert torch.equal(x_t, expected)


def test_unusable_schedulers_are_named():
    with pytest.raises(InputError, match="FlowMatchEulerDiscreteScheduler"):
        Schedule(diffusers.FlowMatchEulerDiscreteScheduler())
    with pytest.raises(InputError, match="'sample'"):
        Schedule(diffusers.DDPMScheduler(prediction_type="sample"))
