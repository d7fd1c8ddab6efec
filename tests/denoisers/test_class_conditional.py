"""Denoisers against direct calls of the diffusers models, on tiny random weights."""

import pytest
import tiny
import torch

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import ADMCrop, ResizeCenterCrop, UNetDenoiser
from diffclf_lightning.evaluation import Noised


@pytest.fixture(params=["dit", "unet"])
def denoiser(request):
    return tiny.dit_with_vae() if request.param == "dit" else tiny.unet(null=True)


def noised_at(model, timesteps):
    """Random samples with known noise."""
    shape = (len(timesteps), *model.sample_shape)
    return Noised(*torch.randn(2, *shape), model.schedule.of(torch.tensor(timesteps)))


@torch.no_grad()
def test_dit_prediction_is_the_noise_half_of_the_network(seed):
    model = tiny.dit_with_vae()
    noised, c = noised_at(model, [0, 500, 999]), torch.tensor([4, 0, 2])
    whole = model.model(noised.x_t, timestep=noised.at.timestep, class_labels=c).sample
    assert whole.shape[1] == 8
    said = model.predict(noised, model.condition([4, 0, 2]))
    assert torch.allclose(said.noise, whole[:, :4], atol=1e-6)


@torch.no_grad()
def test_unet_prediction_is_the_network(seed):
    model = tiny.unet()
    noised, c = noised_at(model, [0, 500, 999]), torch.tensor([4, 0, 2])
    direct = model.model(noised.x_t, noised.at.timestep, class_labels=c).sample
    said = model.predict(noised, model.condition([4, 0, 2]))
    assert torch.allclose(said.noise, direct, atol=1e-6)


@torch.no_grad()
def test_v_prediction_is_turned_into_noise(seed):
    """A perfect v gives back the noise; and the formula holds for the network's own v."""
    model = tiny.unet(prediction_type="v_prediction")
    noised = noised_at(model, [0, 1, 500, 999])
    t, target = noised.at.timestep, model.schedule.target
    assert torch.allclose(target.noise(target.of(noised), noised), noised.noise, atol=1e-5)
    abar = model.schedule.scheduler.alphas_cumprod[t].reshape(-1, 1, 1, 1)
    own = model.model(noised.x_t, t, class_labels=torch.arange(4)).sample
    expected = abar.sqrt() * own + (1 - abar).sqrt() * noised.x_t
    said = model.predict(noised, model.condition(range(4)))
    assert torch.allclose(said.noise, expected, atol=1e-5)


@torch.no_grad()
def test_many_images_are_encoded_in_parts_to_the_same_latents(seed, monkeypatch):
    model, sizes = tiny.dit_with_vae(), []
    pixels = torch.randint(256, (7, 3, 16, 16), dtype=torch.uint8)
    alone = torch.cat([model.encode(image[None]) for image in pixels])
    monkeypatch.setattr("diffclf_lightning.denoisers.base.PIXELS", 3 * 16 * 16 + 1)
    encode = model.vae.encode
    monkeypatch.setattr(model.vae, "encode", lambda x: sizes.append(len(x)) or encode(x))
    latents = model.encode(pixels)
    assert sizes == [3, 3, 1]
    assert torch.allclose(latents, alone, atol=1e-6)
    assert latents.is_contiguous()
    monkeypatch.setattr("diffclf_lightning.denoisers.base.PIXELS", 1)
    assert torch.allclose(model.encode(pixels[:2]), alone[:2], atol=1e-6)


def test_latents_are_the_scaled_posterior_mean(seed):
    model = tiny.dit_with_vae()
    pixels = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        mean = model.vae.encode(pixels / 127.5 - 1).latent_dist.mean
        assert model.image_shape == (3, 16, 16)
        assert torch.allclose(model.encode(pixels), mean * 0.18215, atol=1e-6)
        assert torch.allclose(model.encode(pixels / 255), mean * 0.18215, atol=1e-5)


def test_latents_are_shifted_where_the_vae_says_so(seed):
    model = tiny.dit_with_vae()
    pixels = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        plain = model.encode(pixels)
        model.vae.register_to_config(shift_factor=0.5)
        assert torch.allclose(model.encode(pixels), plain - 0.5 * 0.18215, atol=1e-6)


def test_add_noise_is_the_schedulers_own(denoiser, seed):
    noised = noised_at(denoiser, [0, 1, 500, 999])
    scheduler = denoiser.schedule.scheduler
    expected = scheduler.add_noise(noised.x_0, noised.noise, noised.at.timestep)
    assert torch.allclose(noised.x_t, expected, atol=1e-6)


def test_labels_are_not_dropped_inside_the_network(seed):
    """diffusers' own label dropout would make training outputs random."""
    model = tiny.dit_with_vae().train()
    x_t, t = torch.randn(64, 4, 8, 8), torch.full((64,), 10)
    same = x_t[:1].expand(64, -1, -1, -1)
    output = model(same, t, model.condition([0] * 64))
    assert torch.allclose(output, output[:1].expand_as(output), atol=1e-5)


def test_null_conditioning_is_the_extra_row():
    model = tiny.unet(null=True)
    assert model.unconditional()["class_labels"].tolist() == [5]
    with pytest.raises(InputError, match="`label_dropout`"):
        tiny.unet(null=False).unconditional()


def test_conditions_are_checked(denoiser):
    assert denoiser.condition([4, 0])["class_labels"].tolist() == [4, 0]
    with pytest.raises(InputError, match=r"class ids from 0 to 4, but got 5"):
        denoiser.condition([5])
    with pytest.raises(InputError, match=r"leave out `template`"):
        denoiser.condition(["a cat"])


def test_transforms_belong_to_the_family():
    assert isinstance(tiny.dit_with_vae().transform, ADMCrop)
    assert tiny.dit_with_vae().transform.size == 16
    assert type(tiny.unet().transform) is ResizeCenterCrop


def test_unconditional_network_is_refused():
    from diffusers import DDPMScheduler, UNet2DModel

    network = UNet2DModel(
        sample_size=8,
        block_out_channels=(8,),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    )
    with pytest.raises(InputError, match="num_class_embeds"):
        UNetDenoiser(network, DDPMScheduler())
