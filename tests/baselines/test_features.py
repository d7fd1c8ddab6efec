"""Features of a diffusion model against a hook on diffusers' own networks, called directly."""

import hashlib

import pytest
import torch
from diffusers import UNet2DConditionModel
from tiny import clip_tokenizer, dit_with_vae, stable_diffusion_pipeline, unet

from diffclf_lightning import AutoDenoiser, InputError
from diffclf_lightning.baselines import DenoiserFeatures


def drawn(seed, pixels, shape):
    """Noise of an image: its generator is seeded by a hash of the seed, the number 0, its bytes."""
    named = seed.to_bytes(8, "big") + (0).to_bytes(8, "big") + pixels.numpy().tobytes()
    first = hashlib.sha256(named).digest()[:8]
    generator = torch.Generator().manual_seed(int.from_bytes(first, "big", signed=True))
    return torch.randn(shape, generator=generator)


def noised(vae, scheduler, images, timestep, seed):
    """x_t by the formula, with diffusers' own autoencoder and scheduler."""
    latents = vae.encode(images / 127.5 - 1).latent_dist.mean * vae.config.scaling_factor
    noise = torch.stack([drawn(seed, image, latents.shape[1:]) for image in images])
    return scheduler.add_noise(latents, noise, torch.full((len(images),), timestep))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sd")
    made = stable_diffusion_pipeline("epsilon")
    made.save_pretrained(folder)
    return made, folder


@torch.no_grad()
@pytest.mark.parametrize(
    ("block", "timestep", "noise_seed"),
    [(None, 100, 0), ("up_blocks.0", 100, 0), ("down_blocks.1", 999, 7), ("mid_block", 0, 0)],
)
def test_features_are_those_of_a_hook_on_the_unet(pipeline, block, timestep, noise_seed, seed):
    made, folder = pipeline
    denoiser = AutoDenoiser.from_pretrained(str(folder))
    features = DenoiserFeatures(denoiser, block, timestep, noise_seed)
    images = torch.randint(256, (3, 3, 16, 16), dtype=torch.uint8)
    x_t = noised(made.vae, made.scheduler, images, timestep, noise_seed)
    tokens = clip_tokenizer()("", padding="max_length", max_length=77, return_tensors="pt")
    empty = made.text_encoder(tokens["input_ids"])[0]
    seen = []
    hook = made.unet.get_submodule(block or "mid_block").register_forward_hook(
        lambda module, args, output: seen.append(output)
    )
    made.unet.eval()(x_t, timestep, encoder_hidden_states=empty.expand(3, -1, -1))
    hook.remove()
    expected = seen[0] if isinstance(seen[0], torch.Tensor) else seen[0][0]
    assert features.shape == tuple(expected.shape[1:])
    assert torch.allclose(features(images), expected, atol=1e-5)
    assert torch.allclose(features(images / 255), expected, atol=1e-5)
    one_by_one = torch.cat([features(image[None]) for image in images])
    assert torch.allclose(one_by_one, expected, atol=1e-5)
    assert (features(images[:1]) - features(images[1:2])).abs().max() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize(("block", "number"), [(None, 1), ("transformer_blocks.0", 0)])
def test_tokens_of_a_transformer_stand_in_rows(block, number, seed):
    denoiser = dit_with_vae()
    features = DenoiserFeatures(denoiser, block, 250)
    images = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    x_t = noised(denoiser.vae, denoiser.schedule.scheduler, images, 250, 0)
    seen = []
    hook = denoiser.model.transformer_blocks[number].register_forward_hook(
        lambda module, args, output: seen.append(output)
    )
    null = torch.full((2,), 5)
    denoiser.model(x_t, torch.full((2,), 250), class_labels=null)
    hook.remove()
    found = features(images)
    assert found.shape == (2, 16, 4, 4)
    for row in range(4):
        for column in range(4):
            token = seen[0][:, 4 * row + column]
            assert torch.allclose(found[:, :, row, column], token, atol=1e-5)


def test_nothing_behind_the_block_is_computed(pipeline):
    denoiser = AutoDenoiser.from_pretrained(str(pipeline[1]))
    features = DenoiserFeatures(denoiser)
    for module in (denoiser.unet.up_blocks, denoiser.unet.conv_out):
        for weight in module.parameters():
            torch.nn.init.constant_(weight, torch.nan)
    assert features(torch.zeros(1, 3, 16, 16, dtype=torch.uint8)).isfinite().all()
    assert not any(weight.requires_grad for weight in denoiser.parameters())


def test_features_are_the_same_under_every_precision(pipeline, seed):
    denoiser = AutoDenoiser.from_pretrained(str(pipeline[1]))
    features = DenoiserFeatures(denoiser)
    images = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    expected = features(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(features(images), expected)
    torch.set_default_dtype(torch.bfloat16)  # as Lightning's "bf16-true" does in every step
    try:
        assert torch.equal(features(images), expected)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"block": "mid_blok"}, r"`block` to name a module of UNet2DConditionModel.*mid_block"),
        ({"block": "nothing"}, r"It has .*down_blocks\.0, .*up_blocks\.1"),
        ({"block": "time_embedding"}, r"gives a grid of features.*gives \(1, "),
        ({"timestep": 1000}, "`timestep` from 0 to 999"),
        ({"seed": -1}, "`seed` from 0"),
    ],
)
def test_wrong_arguments_are_named(pipeline, arguments, message):
    denoiser = AutoDenoiser.from_pretrained(str(pipeline[1]))
    with pytest.raises(InputError, match=message):
        DenoiserFeatures(denoiser, **arguments)


def test_a_block_that_no_pass_runs_is_named(pipeline):
    denoiser = AutoDenoiser.from_pretrained(str(pipeline[1]))
    assert isinstance(denoiser.unet, UNet2DConditionModel)
    with pytest.raises(InputError, match="'up_blocks' is not called"):
        DenoiserFeatures(denoiser, "up_blocks")


def test_a_model_that_cannot_be_told_nothing_is_refused():
    with pytest.raises(InputError, match=r"trained without conditions.*UNetDenoiser"):
        DenoiserFeatures(unet())
    assert DenoiserFeatures(unet(null=True)).shape == (16, 4, 4)
