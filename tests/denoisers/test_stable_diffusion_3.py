"""Stable Diffusion 3's form on tiny random weights, against diffusers' own pipeline."""

import pytest
import tiny_text
import torch
from against_pipeline import check_same_steps, check_true_target
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from folders import check_same_weights, load

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import StableDiffusion3

LATE = {"text_encoder_3": None, "tokenizer_3": None}


def pipeline():
    torch.manual_seed(17)
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8,
        num_attention_heads=4, joint_attention_dim=48, caption_projection_dim=32,
        pooled_projection_dim=40, out_channels=4, pos_embed_max_size=12,
        dual_attention_layers=(0,), qk_norm="rms_norm",
    ).eval()  # fmt: skip
    tokenizer = tiny_text.clip_tokenizer()
    return StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=tiny_text.clip(16, projected=True), tokenizer=tokenizer,
        text_encoder_2=tiny_text.clip(24, projected=True, seed=18), tokenizer_2=tokenizer,
        text_encoder_3=tiny_text.t5(48), tokenizer_3=tiny_text.words(),
        vae=tiny_text.autoencoder(shift_factor=0.0609, scaling_factor=1.5305),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sd3")
    pipeline().save_pretrained(path)
    return path


@pytest.mark.parametrize("late", [{}, LATE], ids=["with T5", "without"])
def test_the_network_hears_what_the_pipeline_tells_it(folder, late):
    pipe = StableDiffusion3Pipeline.from_pretrained(folder, **late)
    options = {"image_size": 24} | ({"leave_out": list(late)} if late else {})
    model = check_same_steps(
        pipe, folder, "transformer", tiny_text.PROMPT, options, guidance_scale=1.0
    )
    assert type(model) is StableDiffusion3
    assert model.condition(["a cat"])["encoder_hidden_states"].shape == (1, 77 + 256, 48)
    check_true_target(model)


def test_a_model_without_t5_is_written_and_loads_without_it(folder, tmp_path):
    model = load(folder, leave_out=list(LATE))
    assert set(model.text_encoders) == {"text_encoder", "text_encoder_2"}
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "text_encoder_3").exists()
    check_same_weights(load(tmp_path), model)
    StableDiffusion3Pipeline.from_pretrained(tmp_path, **LATE)


@torch.no_grad()
def test_latents_are_shifted_and_scaled(folder):
    model = load(folder)
    images = torch.rand(1, *model.image_shape)
    raw = model.vae.encode(images * 2 - 1).latent_dist.mean
    assert torch.allclose(model.encode(images), (raw - 0.0609) * 1.5305, atol=1e-6)


def test_images_without_places_are_refused(folder):
    assert load(folder, image_size=48).size == 24  # 12 patches of 2 latent pixels along a side
    with pytest.raises(InputError, match=r"`image_size` to be at most 48.*but got 52"):
        load(folder, image_size=52)


def test_what_cannot_be_left_out(folder):
    with pytest.raises(InputError, match=r"`leave_out`.*text_encoder_3, tokenizer_3.*'vae'"):
        load(folder, leave_out=["vae"])
    for given in (*LATE, *([name] for name in LATE)):
        with pytest.raises(InputError, match=r"_3' alone\. Give \[text_encoder_3, tokenizer_3\]"):
            load(folder, leave_out=given)


def test_a_prompt_that_both_clips_cut_is_said(folder):
    with pytest.warns(UserWarning, match="longer than 77 tokens") as said:
        load(folder).condition([" ".join(["cat"] * 80)])
    names = [str(one.message).split("model's ")[1].split()[0] for one in said]
    assert names == ["tokenizer", "tokenizer_2"]
