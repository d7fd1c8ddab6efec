"""AuraFlow's form on tiny random weights, against diffusers' own pipeline."""

import pytest
import tiny_text
import torch
from against_pipeline import check_same_steps, check_true_target
from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel, FlowMatchEulerDiscreteScheduler
from folders import check_same_weights, load

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import AuraFlow


def pipeline():
    torch.manual_seed(23)
    transformer = AuraFlowTransformer2DModel(
        sample_size=8, in_channels=4, num_mmdit_layers=1, num_single_dit_layers=1,
        attention_head_dim=8, num_attention_heads=4, caption_projection_dim=32,
        joint_attention_dim=16, pos_embed_max_size=36,
    ).eval()  # fmt: skip
    return AuraFlowPipeline(
        tokenizer=tiny_text.words(), text_encoder=tiny_text.umt5(), transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.73),
        vae=tiny_text.autoencoder(scaling_factor=0.13025),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("aura")
    pipeline().save_pretrained(path)
    return path


def test_the_network_hears_what_the_pipeline_tells_it(folder):
    model = check_same_steps(
        AuraFlowPipeline.from_pretrained(folder), folder, "transformer", tiny_text.PROMPT,
        {"image_size": 24}, guidance_scale=1.0,
    )  # fmt: skip
    assert type(model) is AuraFlow
    assert model.sample_shape == (4, 12, 12)
    check_true_target(model)


def test_padding_is_zeros_and_prompts_depend_on_nothing_else_in_the_batch(folder):
    model = load(folder)
    prompts = ["a cat", tiny_text.PROMPT, "the"]
    together = model.condition(prompts)["encoder_hidden_states"]
    assert together.shape == (3, 256, 16)
    for place, prompt in enumerate(prompts):
        tokens = len(prompt.split()) + 2
        assert together[place, :tokens].any(dim=1).all()
        assert not together[place, tokens:].any()
        alone = model.condition([prompt])["encoder_hidden_states"]
        assert torch.allclose(alone[0], together[place], atol=1e-6)


@torch.no_grad()
def test_prompts_of_other_lengths_are_averaged_where_they_have_tokens(folder):
    model = load(folder)
    short, long = model.condition(["a cat", tiny_text.PROMPT])["encoder_hidden_states"]
    mean = model.condition([("a cat", tiny_text.PROMPT)])["encoder_hidden_states"][0]
    assert torch.allclose(mean[:4], (short[:4] + long[:4]) / 2, atol=1e-6)
    assert torch.allclose(mean[4:10], long[4:10], atol=1e-6)
    assert not mean[10:].any()


@torch.no_grad()
def test_nothing_said_is_what_the_pipeline_is_guided_away_from(folder):
    _, _, states, _ = AuraFlowPipeline.from_pretrained(folder).encode_prompt("a cat")
    told = load(folder).unconditional()
    assert torch.allclose(told["encoder_hidden_states"], states, atol=1e-6)


@torch.no_grad()
def test_latents_are_scaled(folder):
    model = load(folder)
    assert model.image_shape == (3, 16, 16)
    images = torch.rand(1, 3, 16, 16)
    raw = model.vae.encode(images * 2 - 1).latent_dist.mean
    assert torch.allclose(model.encode(images), raw * 0.13025, atol=1e-6)


def test_saved_folder_loads_as_the_same_model(folder, tmp_path):
    model = load(folder)
    model.save_pretrained(tmp_path)
    check_same_weights(load(tmp_path), model)
    AuraFlowPipeline.from_pretrained(tmp_path)


def test_images_without_places_and_long_prompts_are_refused(folder):
    assert load(folder, image_size=24).size == 12  # 6 patches of 2 latent pixels along a side
    with pytest.raises(InputError, match=r"`image_size` to be at most 24.*but got 28"):
        load(folder, image_size=28)
    with pytest.raises(InputError, match=r"at most 256 tokens, but 'cat cat.*has 257"):
        load(folder).condition([" ".join(["cat"] * 255)])
