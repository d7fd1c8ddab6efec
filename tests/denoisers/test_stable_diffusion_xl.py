"""Stable Diffusion XL's form on tiny random weights, against diffusers' own pipeline."""

import logging

import pytest
import tiny_text
import torch
from against_pipeline import check_same_steps, check_true_target
from diffusers import (
    EulerDiscreteScheduler,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from folders import check_same_weights, load

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import StableDiffusionXL


def pipeline(zeros):
    first = tiny_text.clip(16)
    second = tiny_text.clip(24, projected=True, seed=14)
    torch.manual_seed(15)
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1, norm_num_groups=4, attention_head_dim=(2, 4), cross_attention_dim=40,
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=24 + 6 * 8,
    ).eval()  # fmt: skip
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    tokenizer = tiny_text.clip_tokenizer()
    return StableDiffusionXLPipeline(
        vae=tiny_text.autoencoder(scaling_factor=0.13025, latents_mean=[0.1, 0.2, -0.3, 0.0],
                                  latents_std=[0.9, 1.1, 2.0, 1.0]),
        text_encoder=first, text_encoder_2=second, tokenizer=tokenizer, tokenizer_2=tokenizer,
        unet=unet, scheduler=scheduler, force_zeros_for_empty_prompt=zeros, add_watermarker=False,
    )  # fmt: skip


@pytest.fixture(scope="module", params=[True, False], ids=["zeros", "empty"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("xl")
    pipeline(request.param).save_pretrained(path)
    return path


def opened(folder):
    return StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False)


def test_the_network_hears_what_the_pipeline_tells_it(folder):
    model = check_same_steps(
        opened(folder), folder, "unet", "a photo of a cat", {"image_size": 24}, guidance_scale=1.0
    )
    assert type(model) is StableDiffusionXL
    assert model.image_shape == (3, 24, 24)
    check_true_target(model)


@torch.no_grad()
def test_nothing_said_is_what_the_pipeline_is_guided_away_from(folder):
    pipe, told = opened(folder), load(folder).unconditional()
    _, states, _, pooled = pipe.encode_prompt("x", do_classifier_free_guidance=True)
    assert torch.allclose(told["encoder_hidden_states"], states, atol=1e-6)
    assert torch.allclose(told["text_embeds"], pooled, atol=1e-6)
    assert states.any().item() is not pipe.config.force_zeros_for_empty_prompt


@torch.no_grad()
def test_latents_are_standardised_as_the_autoencoder_says(folder):
    model = load(folder)
    images = torch.rand(2, *model.image_shape)
    mean = torch.tensor([0.1, 0.2, -0.3, 0.0]).view(1, 4, 1, 1)
    deviation = torch.tensor([0.9, 1.1, 2.0, 1.0]).view(1, 4, 1, 1)
    raw = model.vae.encode(images * 2 - 1).latent_dist.mean
    latents = model.encode(images)
    assert torch.allclose(latents, (raw - mean) * 0.13025 / deviation, atol=1e-6)
    vae = opened(folder).vae
    expected = vae.decode(latents * deviation / 0.13025 + mean).sample
    expected = ((expected + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
    assert (model.decode(latents).int() - expected.int()).abs().max() <= 1


def test_prompts_depend_on_nothing_else_in_the_batch(folder):
    model = load(folder)
    prompts = ["a cat", "a photo of a dog on the mat in the sun", "the"]
    together = model.condition(prompts)
    for place, prompt in enumerate(prompts):
        for keyword, tensor in model.condition([prompt]).items():
            assert torch.allclose(tensor[0], together[keyword][place], atol=1e-6)


def test_saved_folder_loads_as_the_same_model(folder, tmp_path):
    model = load(folder)
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    check_same_weights(again, model)
    for keyword, tensor in model.unconditional().items():
        assert torch.equal(again.unconditional()[keyword], tensor)


def test_prompts_that_no_encoder_reads_are_refused(folder):
    with pytest.raises(InputError, match="at most 77 tokens"):
        load(folder).condition([" ".join(["cat"] * 76)])


@torch.no_grad()
def test_an_autoencoder_that_overflows_runs_in_float32(folder):
    said, handler = [], logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger("diffusers").addHandler(handler)
    images = torch.rand(1, 3, 16, 16)
    model, half = load(folder), load(folder, torch_dtype="float16")
    assert half.vae.dtype == torch.float16
    half.vae.load_state_dict(model.vae.state_dict())
    half.encode(images)
    logging.getLogger("diffusers").removeHandler(handler)
    assert not [one for one in said if "kept in float32" in one]
    assert half.vae.dtype == torch.float32
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(model.encode(images), load(folder).encode(images))


def test_the_pipeline_that_begins_with_an_image_holds_the_same_model(folder, tmp_path):
    parts = StableDiffusionXLPipeline.from_pretrained(folder).components
    StableDiffusionXLImg2ImgPipeline(**parts).save_pretrained(tmp_path)
    model = load(tmp_path)
    assert type(model) is StableDiffusionXL
    check_same_weights(model, load(folder))
