"""Lumina-Image 2's form on tiny random weights, against diffusers' own pipeline."""

import pytest
import tiny_text
import torch
from against_pipeline import check_same_steps, check_true_target
from diffusers import FlowMatchEulerDiscreteScheduler, Lumina2Pipeline, Lumina2Transformer2DModel
from folders import check_same_weights, load

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import Lumina2

PROMPTS = ["a cat", "a photo of a dog on the mat", "the"]


def pipeline():
    torch.manual_seed(22)
    transformer = Lumina2Transformer2DModel(
        sample_size=4, in_channels=4, hidden_size=16, num_layers=2, num_refiner_layers=1,
        num_attention_heads=2, num_kv_heads=1, multiple_of=16, axes_dim_rope=(4, 2, 2),
        cap_feat_dim=16,
    ).eval()  # fmt: skip
    parts = {
        "transformer": transformer, "scheduler": FlowMatchEulerDiscreteScheduler(shift=6.0),
        "vae": tiny_text.autoencoder(factor=8, shift_factor=0.1159, scaling_factor=0.3611),
    }  # fmt: skip
    said = Lumina2Pipeline(**parts, text_encoder=None, tokenizer=None).system_prompt
    tokenizer = tiny_text.words_of(f"{said} <Prompt Start>")
    return Lumina2Pipeline(**parts, text_encoder=tiny_text.gemma(tokenizer), tokenizer=tokenizer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lumina")
    pipeline().save_pretrained(path)
    return path


def test_the_network_hears_what_the_pipeline_tells_it(folder):
    model = check_same_steps(
        Lumina2Pipeline.from_pretrained(folder), folder, "transformer", tiny_text.PROMPT,
        {"image_size": 48}, guidance_scale=1.0,
    )  # fmt: skip
    assert type(model) is Lumina2
    assert model.sample_shape == (4, 6, 6)
    assert model.condition(["a cat"])["encoder_hidden_states"].shape == (1, 256, 16)
    check_true_target(model)


def test_the_network_is_told_how_much_of_the_image_there_is(folder):
    at = load(folder).at(torch.tensor([0.0, 0.25]))
    assert torch.equal(at.timestep, torch.tensor([1.0, 0.75]))
    assert torch.equal(at.sigma, torch.tensor([0.0, 0.25]))


@torch.no_grad()
def test_latents_are_shifted_and_scaled(folder):
    model = load(folder)
    images = torch.rand(1, *model.image_shape)
    raw = model.vae.encode(images * 2 - 1).latent_dist.mean
    assert torch.allclose(model.encode(images), (raw - 0.1159) * 0.3611, atol=1e-6)


@torch.no_grad()
def test_nothing_said_is_what_the_pipeline_is_guided_away_from(folder):
    _, _, states, mask = Lumina2Pipeline.from_pretrained(folder).encode_prompt("a cat")
    told = load(folder).unconditional()
    assert torch.allclose(told["encoder_hidden_states"], states, atol=1e-6)
    assert torch.equal(told["encoder_attention_mask"], mask)
    assert mask.sum() == 1  # the begin: no system prompt


@torch.no_grad()
def test_prompts_depend_on_nothing_else_in_the_batch(folder):
    model = load(folder)
    together = model.condition(PROMPTS)
    x, time = torch.randn(1, *model.sample_shape), torch.tensor([0.3])
    outputs = model(x.repeat(3, 1, 1, 1), time.repeat(3), together)
    for place, prompt in enumerate(PROMPTS):
        alone = model.condition([prompt])
        for keyword, tensor in alone.items():
            assert torch.allclose(tensor[0], together[keyword][place], atol=1e-6)
        assert torch.allclose(model(x, time, alone)[0], outputs[place], atol=1e-5)


def test_saved_folder_loads_as_the_same_model(folder, tmp_path):
    model = load(folder)
    model.save_pretrained(tmp_path)
    check_same_weights(load(tmp_path), model)
    Lumina2Pipeline.from_pretrained(tmp_path)


def test_what_cannot_be_is_refused(folder):
    with pytest.raises(InputError, match="`image_size` as a multiple of 16, but got 24"):
        load(folder, image_size=24)
    system = len(load(folder).tokenizer(pipeline().system_prompt + " <Prompt Start>").input_ids)
    longest = " ".join(["cat"] * (256 - system))
    assert load(folder).condition([longest])["encoder_attention_mask"].all()
    with pytest.raises(InputError, match=r"at most 256 tokens, but 'cat cat.*has 257"):
        load(folder).condition([longest + " cat"])
