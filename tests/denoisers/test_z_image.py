"""Z-Image's form on tiny random weights, against diffusers' own pipeline."""

import pytest
import tiny_text
import torch
from against_pipeline import (
    check_prompts_stand_alone,
    check_same_steps,
    check_spoken,
    check_true_target,
)
from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
from folders import check_checkpoint, check_same_weights, load
from transformers import Qwen3Model

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import ZImage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("z")
    torch.manual_seed(22)
    transformer = ZImageTransformer2DModel(
        in_channels=4, dim=32, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2,
        cap_feat_dim=16, axes_dims=[8, 4, 4], axes_lens=[640, 64, 64],
    ).eval()  # fmt: skip
    torch.nn.init.normal_(transformer.x_pad_token)
    torch.nn.init.normal_(transformer.cap_pad_token)
    ZImagePipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=tiny_text.qwen3(Qwen3Model, layers=3), tokenizer=tiny_text.chat_words(),
        vae=tiny_text.autoencoder(shift_factor=0.1159, scaling_factor=0.3611),
    ).save_pretrained(path)  # fmt: skip
    return path


def test_the_network_hears_what_the_pipeline_tells_it(folder):
    model = check_same_steps(
        ZImagePipeline.from_pretrained(folder), folder, "transformer", tiny_text.PROMPT,
        {"image_size": 24}, guidance_scale=0.0,
    )  # fmt: skip
    assert type(model) is ZImage
    assert model.sample_shape == (4, 12, 12)
    check_true_target(model)
    check_spoken(model, tiny_text.PROMPT)


def test_prompts_depend_on_nothing_else_in_the_batch(folder):
    # With its template the second has more than 32 tokens, to whose multiples captions are padded.
    prompts = ["a cat", " ".join(["the cat on a mat"] * 6), "", "the"]
    model = load(folder, image_size=16)
    assert model.condition(prompts)["cap_mask"][1].sum() > 32
    check_prompts_stand_alone(model, prompts)


@torch.no_grad()
def test_prompts_of_other_lengths_are_averaged_where_they_have_tokens(folder):
    model = load(folder, image_size=16)
    prompts = "a cat", tiny_text.PROMPT
    short, long = (model.condition([prompt])["cap_feats"][0] for prompt in prompts)
    many = len(short)
    assert many < len(long)
    expected = torch.cat([(short + long[:many]) / 2, long[many:]])
    heard = []
    model.transformer.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[2]))
    told = model.condition([prompts, "a"])
    model(torch.randn(2, *model.sample_shape), torch.tensor([0.5, 0.5]), told)
    assert torch.allclose(heard[0][0], expected, atol=1e-5)
    assert len(heard[0][1]) == len(model.condition(["a"])["cap_feats"][0])


@torch.no_grad()
def test_nothing_said_is_what_the_pipeline_is_guided_away_from(folder):
    told = load(folder, image_size=16).unconditional()
    _, (states,) = ZImagePipeline.from_pretrained(folder).encode_prompt(["a cat"])
    assert told["cap_mask"].tolist() == [[True] * len(states)]
    assert torch.allclose(told["cap_feats"][0], states, atol=1e-5)


@torch.no_grad()
def test_latents_are_shifted_and_scaled(folder):
    model = load(folder, image_size=16)
    images = torch.rand(1, *model.image_shape)
    raw = model.vae.encode(images * 2 - 1).latent_dist.mean
    assert torch.allclose(model.encode(images), (raw - 0.1159) * 0.3611, atol=1e-6)


def test_saved_folder_loads_as_the_same_model(folder, tmp_path):
    model = load(folder, image_size=16)
    model.save_pretrained(tmp_path)
    again = load(tmp_path, image_size=16)
    check_same_weights(again, model)
    check_checkpoint(model, tiny_text.PROMPT)
    for keyword, tensor in model.unconditional().items():
        assert torch.equal(again.unconditional()[keyword], tensor)
    ZImagePipeline.from_pretrained(tmp_path)


def test_what_it_cannot_take(folder):
    assert load(folder).image_shape == (3, 256, 256)  # 128 latent pixels of an autoencoder of 2
    with pytest.raises(InputError, match="`image_size` as a multiple of 4, but got 18"):
        load(folder, image_size=18)
    with pytest.raises(InputError, match=r"`image_size` to be at most 256.*but got 260"):
        load(folder, image_size=260)  # 64 places along a side
    with pytest.raises(InputError, match="at most 512 tokens"):
        load(folder, image_size=16).condition([" ".join(["cat"] * 512)])
