"""The forms of CogView3-Plus and CogView4 on tiny random weights, against diffusers' pipelines."""

import pytest
import tiny_text
import torch
from against_pipeline import check_same_steps, check_true_target
from diffusers import (
    CogVideoXDDIMScheduler,
    CogView3PlusPipeline,
    CogView3PlusTransformer2DModel,
    CogView4Pipeline,
    CogView4Transformer2DModel,
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.models.transformers.transformer_cogview4 import CogView4AttnProcessor
from folders import check_same_weights, load
from transformers import GlmConfig, GlmModel

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import CogView3Plus, CogView4
from diffclf_lightning.evaluation import Noised

LONG = " ".join([tiny_text.PROMPT] * 3)  # 24 words and 2 tokens: padded to 32


def pipeline():
    torch.manual_seed(24)
    transformer = CogView4Transformer2DModel(
        patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        out_channels=4, text_embed_dim=16, time_embed_dim=8, condition_dim=4, sample_size=8,
        rope_axes_dim=(16, 16),
    ).eval()  # fmt: skip
    tokenizer = tiny_text.words(2048)
    glm = GlmConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, pad_token_id=0, eos_token_id=3,
    )  # fmt: skip
    scheduler = FlowMatchEulerDiscreteScheduler(
        base_shift=0.25, max_shift=0.75, base_image_seq_len=256, use_dynamic_shifting=True,
        time_shift_type="linear",
    )  # fmt: skip
    return CogView4Pipeline(
        tokenizer=tokenizer, text_encoder=GlmModel(glm).eval(), transformer=transformer,
        scheduler=scheduler, vae=tiny_text.autoencoder(scaling_factor=0.7),
    )  # fmt: skip


def older_pipeline():
    torch.manual_seed(25)
    transformer = CogView3PlusTransformer2DModel(
        patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        out_channels=4, text_embed_dim=24, time_embed_dim=8, condition_dim=4, sample_size=8,
        pos_embed_max_size=12,
    ).eval()  # fmt: skip
    scheduler = CogVideoXDDIMScheduler(
        beta_schedule="scaled_linear", prediction_type="v_prediction", snr_shift_scale=4.0,
        rescale_betas_zero_snr=True, timestep_spacing="leading",
    )  # fmt: skip
    return CogView3PlusPipeline(
        tokenizer=tiny_text.words(), text_encoder=tiny_text.t5(24), transformer=transformer,
        scheduler=scheduler, vae=tiny_text.autoencoder(scaling_factor=0.7),
    )  # fmt: skip


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    path = tmp_path_factory.mktemp("cogview3")
    older_pipeline().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cogview4")
    pipeline().save_pretrained(path)
    return path


@pytest.mark.parametrize("prompt", ["a cat", LONG])
def test_the_network_hears_what_the_pipeline_tells_it(folder, prompt):
    pipe = CogView4Pipeline.from_pretrained(folder)
    model = check_same_steps(
        pipe, folder, "transformer", prompt, {"image_size": 48}, guidance_scale=1.0
    )
    assert type(model) is CogView4
    assert model.sample_shape == (4, 24, 24)
    check_true_target(model)


def test_the_network_of_version_3_hears_what_the_pipeline_tells_it(older):
    pipe = CogView3PlusPipeline.from_pretrained(older)
    model = check_same_steps(
        pipe, older, "transformer", "a cat", {"image_size": 24}, guidance_scale=1.0
    )
    assert type(model) is CogView3Plus
    assert model.sample_shape == (4, 12, 12)
    assert model.condition(["a cat"])["encoder_hidden_states"].shape == (1, 224, 24)
    check_true_target(model)


@torch.no_grad()
def test_version_3_is_told_zeros_for_nothing_and_knows_pure_noise(older, tmp_path):
    model = load(older)
    _, states = CogView3PlusPipeline.from_pretrained(older).encode_prompt("x")
    told = model.unconditional()["encoder_hidden_states"]
    assert torch.equal(told, states)
    assert not told.any()
    at = model.schedule(torch.tensor([0.9999]))
    assert at.alpha.item() == 0
    noised = Noised(*torch.randn(2, 1, *model.sample_shape), at)
    assert model.predict(noised, model.condition(["a cat"])).noise.isfinite().all()
    model.save_pretrained(tmp_path)
    check_same_weights(load(tmp_path), model)


def test_times_are_shifted_as_the_pipeline_shifts_them(folder):
    """By 0.25 + 0.75 * sqrt(patches / 256), which is 3.25 for 4096 patches."""
    schedule = load(folder, image_size=256).schedule
    assert schedule.shift == 3.25
    at = schedule(torch.tensor([0.0, 0.25, 0.5, 0.999]))
    expected = [3.25 * t / (3.25 * t + 1 - t) for t in (0.0, 0.25, 0.5, 0.999)]
    assert torch.allclose(at.sigma, torch.tensor(expected), atol=1e-6)
    assert torch.allclose(at.alpha, 1 - torch.tensor(expected), atol=1e-6)
    assert torch.allclose(at.timestep, torch.tensor([0.0, 250.0, 500.0, 999.0]))
    assert schedule.describe() != load(folder, image_size=128).schedule.describe()


@torch.no_grad()
def test_attention_is_that_of_diffusers_and_padding_changes_nothing(folder, seed):
    model = load(folder)
    x_t, t = torch.randn(2, *model.sample_shape), torch.tensor([300.0, 800.0])
    together = model.condition(["a cat", LONG])
    assert together["attention_mask"].sum(dim=1).tolist() == [16, 32]
    both = model(x_t, t, together)
    for block in model.transformer.transformer_blocks:
        block.attn1.set_processor(CogView4AttnProcessor())
    for place, prompt in enumerate(["a cat", LONG]):
        told = dict(model.condition([prompt]))
        del told["attention_mask"]
        alone = model(x_t[[place]], t[[place]], told)
        assert torch.allclose(both[[place]], alone, atol=1e-5)


def test_prompts_depend_on_nothing_else_in_the_batch(folder):
    model = load(folder)
    prompts = ["a cat", LONG, "the"]
    together = model.condition(prompts)
    for place, prompt in enumerate(prompts):
        for keyword, tensor in model.condition([prompt]).items():
            row = together[keyword][place]
            assert torch.allclose(tensor[0], row[: tensor.shape[1]], atol=1e-6)
            assert not row[tensor.shape[1] :].any()


@torch.no_grad()
def test_nothing_said_is_what_the_pipeline_is_guided_away_from(folder):
    _, states = CogView4Pipeline.from_pretrained(folder).encode_prompt("x")
    assert torch.allclose(load(folder).unconditional()["encoder_hidden_states"], states, atol=1e-6)


@torch.no_grad()
def test_latents_are_scaled(folder):
    model = load(folder)
    images = torch.rand(2, *model.image_shape)
    raw = model.vae.encode(images * 2 - 1).latent_dist.mean
    assert torch.allclose(model.encode(images), raw * 0.7, atol=1e-6)


def test_saved_folder_loads_as_the_same_model(folder, tmp_path):
    model = load(folder)
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    check_same_weights(again, model)
    assert type(again) is CogView4


def test_what_it_does_not_take_is_refused(folder):
    with pytest.raises(InputError, match="at most 1024 tokens"):
        load(folder).condition([" ".join(["cat"] * 1100)])
    with pytest.raises(InputError, match="`image_size` as a multiple of 4, but got 18"):
        load(folder, image_size=18)


def test_images_without_places_are_refused(older):
    with pytest.raises(InputError, match=r"`image_size` to be at most 48.*but got 52"):
        load(older, image_size=52)  # 12 patches of 2 latent pixels along a side
