"""Denoisers against direct calls of the diffusers models, on tiny random weights."""

import pytest
import tiny
import torch
from diffusers import DiTPipeline

from diffclf_lightning import AutoDenoiser, InputError
from diffclf_lightning.denoisers import ADMCrop, CenterCrop, DiTDenoiser, UNetDenoiser


@pytest.fixture(params=["dit", "unet"])
def denoiser(request):
    return tiny.dit_with_vae() if request.param == "dit" else tiny.unet(null=True)


@torch.no_grad()
def test_dit_prediction_is_the_noise_half_of_the_network(seed):
    model = tiny.dit_with_vae()
    x_t, t, c = torch.randn(3, 4, 8, 8), torch.tensor([0, 500, 999]), torch.tensor([4, 0, 2])
    whole = model.model(x_t, timestep=t, class_labels=c).sample
    assert whole.shape[1] == 8
    assert torch.allclose(model.predict(x_t, t, c).noise, whole[:, :4], atol=1e-6)


@torch.no_grad()
def test_unet_prediction_is_the_network(seed):
    model = tiny.unet()
    x_t, t, c = torch.randn(3, 1, 8, 8), torch.tensor([0, 500, 999]), torch.tensor([4, 0, 2])
    direct = model.model(x_t, t, class_labels=c).sample
    assert torch.allclose(model.predict(x_t, t, c).noise, direct, atol=1e-6)


@torch.no_grad()
def test_v_prediction_is_turned_into_noise(seed):
    """A perfect v gives back the noise; and the formula holds for the network's own v."""
    model = tiny.unet(prediction_type="v_prediction")
    x_0, noise, t = torch.rand(4, 1, 8, 8), torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 500, 999])
    x_t = model.add_noise(x_0, noise, t)
    v = model.target(x_0, noise, t)
    assert torch.allclose(model.schedule.noise(v, x_t, t), noise, atol=1e-5)
    abar = model.schedule.scheduler.alphas_cumprod[t].reshape(-1, 1, 1, 1)
    c = torch.arange(4)
    own = model.model(x_t, t, class_labels=c).sample
    expected = abar.sqrt() * own + (1 - abar).sqrt() * x_t
    assert torch.allclose(model.predict(x_t, t, c).noise, expected, atol=1e-5)


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
    shape = (4, *denoiser.sample_shape)
    x_0, noise, t = torch.randn(shape), torch.randn(shape), torch.tensor([0, 1, 500, 999])
    expected = denoiser.schedule.scheduler.add_noise(x_0, noise, t)
    assert torch.allclose(denoiser.add_noise(x_0, noise, t), expected, atol=1e-6)


def test_saved_folder_loads_as_the_same_model(denoiser, tmp_path, seed):
    denoiser.save_pretrained(tmp_path)
    loaded = AutoDenoiser.from_pretrained(str(tmp_path))
    assert type(loaded) is type(denoiser)
    assert loaded.num_classes == 5
    assert loaded.classnames == denoiser.classnames
    assert loaded.null_class == denoiser.null_class == 5
    assert not loaded.training
    x_t, t, c = torch.randn(2, *denoiser.sample_shape), torch.tensor([3, 700]), torch.tensor([0, 5])
    with torch.no_grad():
        assert torch.equal(loaded(x_t, t, c), denoiser(x_t, t, c))
    assert {oct(f.stat().st_mode & 0o777) for f in tmp_path.rglob("*.*") if f.is_file()} == {
        "0o644"
    }


def test_pipeline_saved_by_diffusers_loads(tmp_path):
    """The folder that diffusers itself writes."""
    model = tiny.dit_with_vae()
    names = {i: f"thing {i}" for i in range(5)}
    DiTPipeline(model.model, model.vae, model.schedule.scheduler, names).save_pretrained(tmp_path)
    loaded = AutoDenoiser.from_pretrained(str(tmp_path), torch_dtype=torch.bfloat16)
    assert isinstance(loaded, DiTDenoiser)
    assert loaded.vae is not None
    assert loaded.model.dtype == torch.bfloat16
    assert loaded.schedule._alphas_cumprod.dtype == torch.float32


@pytest.mark.parametrize("files", [["transformer/config.json"], ["model_index.json"], "both"])
def test_pipelines_of_the_time_of_the_first_weights_load(tmp_path, files, seed):
    """diffusers called the network Transformer2DModel when DiT-XL/2 was published."""
    model = tiny.dit_with_vae()
    pipeline = DiTPipeline(model.model, model.vae, model.schedule.scheduler, {0: "thing"})
    pipeline.save_pretrained(tmp_path)
    for name in ["transformer/config.json", "model_index.json"] if files == "both" else files:
        file = tmp_path / name
        old = file.read_text().replace("DiTTransformer2DModel", "Transformer2DModel")
        assert "Transformer2DModel" in old
        file.write_text(old)
    loaded = AutoDenoiser.from_pretrained(str(tmp_path))
    assert isinstance(loaded, DiTDenoiser)
    x_t, t, c = torch.randn(2, 4, 8, 8), torch.tensor([3, 700]), torch.tensor([0, 4])
    with torch.no_grad():
        assert torch.equal(loaded(x_t, t, c), model(x_t, t, c))


def test_labels_are_not_dropped_inside_the_network(seed):
    """diffusers' own label dropout would make training outputs random."""
    model = tiny.dit_with_vae().train()
    x_t, t = torch.randn(64, 4, 8, 8), torch.full((64,), 10)
    same = x_t[:1].expand(64, -1, -1, -1)
    output = model(same, t, torch.zeros(64, dtype=torch.int64))
    assert torch.allclose(output, output[:1].expand_as(output), atol=1e-5)


def test_null_conditioning_is_the_extra_row():
    model = tiny.unet(null=True)
    assert model.null_conditioning(torch.tensor([0, 3])).tolist() == [5, 5]
    with pytest.raises(InputError, match="`label_dropout` to 0"):
        tiny.unet(null=False).null_conditioning(torch.tensor([0]))


def test_conditions_are_checked(denoiser):
    assert denoiser.condition([4, 0]).tolist() == [4, 0]
    with pytest.raises(InputError, match=r"class ids from 0 to 4, but got 5"):
        denoiser.condition([5])
    with pytest.raises(InputError, match=r"leave out `template`"):
        denoiser.condition(["a cat"])


def test_transforms_belong_to_the_family():
    assert isinstance(tiny.dit_with_vae().transform, ADMCrop)
    assert tiny.dit_with_vae().transform.size == 16
    assert type(tiny.unet().transform) is CenterCrop


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
