"""Qwen-Image's form on tiny random weights, against diffusers' own pipeline."""

import re

import pytest
import tiny_text
import torch
from against_pipeline import (
    check_prompts_stand_alone,
    check_same_steps,
    check_spoken,
    check_true_target,
)
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
)
from folders import check_checkpoint, check_same_weights, load
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import QwenImage
from diffclf_lightning.denoisers.scratch import word_tokenizer

INSTRUCTION = (
    "<|im_start|>system Describe the image by detailing the color, shape, size, texture, quantity, "
    "text, spatial relationships of the objects and background:<|im_end|> <|im_start|>user "
    "assistant <|"
)
MEAN, DEVIATION = [0.1, -0.2, 0.3, 0.0], [0.5, 2.0, 1.0, 1.5]


def words():
    return word_tokenizer([*tiny_text.WORDS, *re.findall(r"\w+|[^\w\s]+", INSTRUCTION)], 2048)


def language_model(vocabulary, width=16):
    torch.manual_seed(23)
    text = {
        "hidden_size": width, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": vocabulary,
        "rope_parameters": {
            "mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1e6,
        },
    }  # fmt: skip
    vision = {
        "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2,
        "out_hidden_size": width,
    }  # fmt: skip
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    return Qwen2_5_VLForConditionalGeneration(config).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("qwen")
    tokenizer = words()
    torch.manual_seed(24)
    transformer = QwenImageTransformer2DModel(
        in_channels=16, out_channels=4, num_layers=2, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=16, axes_dims_rope=(4, 6, 6),
    ).eval()  # fmt: skip
    vae = AutoencoderKLQwenImage(
        base_dim=8, z_dim=4, dim_mult=[1, 2, 2], num_res_blocks=1,
        temperal_downsample=[False, True], latents_mean=MEAN, latents_std=DEVIATION,
    ).eval()  # fmt: skip
    QwenImagePipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=language_model(len(tokenizer)), tokenizer=tokenizer, vae=vae,
    ).save_pretrained(path)  # fmt: skip
    return path


def test_the_network_hears_what_the_pipeline_tells_it(folder):
    model = check_same_steps(
        QwenImagePipeline.from_pretrained(folder), folder, "transformer", tiny_text.PROMPT,
        {"image_size": 24}, true_cfg_scale=1.0,
    )  # fmt: skip
    assert type(model) is QwenImage
    assert model.sample_shape == (4, 6, 6)
    check_true_target(model)
    check_spoken(model, tiny_text.PROMPT)


def test_prompts_depend_on_nothing_else_in_the_batch(folder):
    model = load(folder, image_size=16)
    prompts = ["a cat", tiny_text.PROMPT, "", "the"]
    check_prompts_stand_alone(model, prompts)
    lengths = model.condition(prompts)["encoder_hidden_states_mask"].sum(dim=1)
    assert lengths.diff().tolist() == [6, -8, 1]


@torch.no_grad()
def test_nothing_said_is_the_empty_prompt(folder):
    told = load(folder, image_size=16).unconditional()
    states, _ = QwenImagePipeline.from_pretrained(folder).encode_prompt("")
    assert torch.allclose(told["encoder_hidden_states"], states, atol=1e-5)


@torch.no_grad()
def test_latents_are_standardised_frames(folder):
    model, pipe = load(folder, image_size=16), QwenImagePipeline.from_pretrained(folder)
    images = torch.rand(2, *model.image_shape)
    latents = model.encode(images)
    raw = pipe.vae.encode(images[:, :, None] * 2 - 1).latent_dist.mean
    assert raw.shape == (2, 4, 1, 4, 4)
    mean, deviation = (torch.tensor(each).view(4, 1, 1) for each in (MEAN, DEVIATION))
    assert torch.allclose(latents, (raw[:, :, 0] - mean) / deviation, atol=1e-5)
    expected = ((pipe.vae.decode(raw).sample[:, :, 0] + 1) * 127.5).round()
    assert (model.decode(latents) - expected).abs().max() <= 1


def test_saved_folder_loads_as_the_same_model(folder, tmp_path):
    model = load(folder, image_size=16)
    model.save_pretrained(tmp_path)
    again = load(tmp_path, image_size=16)
    check_same_weights(again, model)
    check_checkpoint(model, tiny_text.PROMPT)
    for keyword, tensor in model.unconditional().items():
        assert torch.equal(again.unconditional()[keyword], tensor)
    QwenImagePipeline.from_pretrained(tmp_path)


def test_what_it_cannot_take(folder):
    assert load(folder).image_shape == (3, 512, 512)  # 128 latent pixels of an autoencoder of 4
    with pytest.raises(InputError, match="`image_size` as a multiple of 8, but got 20"):
        load(folder, image_size=20)
    with pytest.raises(InputError, match=r"at most 1058 tokens"):
        load(folder, image_size=16).condition([" ".join(["cat"] * 1058)])
