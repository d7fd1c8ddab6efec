"""FLUX.1's form on tiny random weights, against diffusers' own pipeline."""

import pytest
import tiny_text
import torch
from against_pipeline import check_same_steps, check_true_target
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from folders import check_checkpoint, check_same_weights, load

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import Flux


def pipeline(guided):
    torch.manual_seed(16)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=16,
        axes_dims_rope=[4, 4, 8], guidance_embeds=guided,
    ).eval()  # fmt: skip
    return FluxPipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=tiny_text.clip(16), tokenizer=tiny_text.clip_tokenizer(),
        text_encoder_2=tiny_text.t5(32), tokenizer_2=tiny_text.words(),
        vae=tiny_text.autoencoder(shift_factor=0.1159, scaling_factor=0.3611),
    )  # fmt: skip


@pytest.fixture(scope="module", params=[True, False], ids=["dev", "schnell"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("dev" if request.param else "other")
    pipeline(request.param).save_pretrained(path)
    return path


def test_the_network_hears_what_the_pipeline_tells_it(folder):
    guided = folder.name.startswith("dev")
    options = {"image_size": 24} | ({"guidance": 2.5} if guided else {})
    model = check_same_steps(
        FluxPipeline.from_pretrained(folder), folder, "transformer", tiny_text.PROMPT, options,
        guidance_scale=2.5,
    )  # fmt: skip
    assert type(model) is Flux
    assert model.sample_shape == (4, 12, 12)
    assert model.condition(["a cat"])["encoder_hidden_states"].shape[1] == 512
    check_true_target(model)


@torch.no_grad()
def test_latents_are_shifted_and_scaled(folder):
    model = load(folder, image_size=16)
    images = torch.rand(1, *model.image_shape)
    raw = model.vae.encode(images * 2 - 1).latent_dist.mean
    assert torch.allclose(model.encode(images), (raw - 0.1159) * 0.3611, atol=1e-6)


def test_sizes_are_multiples_of_a_patch(folder):
    assert load(folder).image_shape == (3, 256, 256)  # 128 latent pixels of an autoencoder of 2
    with pytest.raises(InputError, match="`image_size` as a multiple of 4, but got 18"):
        load(folder, image_size=18)


def test_guidance_is_no_guidance_unless_it_is_asked_for(folder):
    model = load(folder, image_size=16)
    assert model.guidance == 1.0
    model.save_pretrained(folder / "again")
    again = load(folder / "again", image_size=16)
    check_same_weights(again, model)
    check_checkpoint(model, tiny_text.PROMPT)


def test_a_network_that_is_told_no_guidance_takes_none(folder):
    if folder.name.startswith("dev"):
        assert load(folder, image_size=16, guidance=2.5).chosen_options["guidance"] == 2.5
        return
    with pytest.raises(InputError, match=r"no argument `guidance`.*got 2\.5"):
        load(folder, image_size=16, guidance=2.5)


def test_a_prompt_that_clip_cuts_is_said_and_t5_reads_it(folder):
    model = load(folder, image_size=16)
    long = " ".join(["cat"] * 80)
    with pytest.warns(UserWarning, match=r"1 of 2 prompts.*77 tokens.*model's tokenizer cuts"):
        model.condition(["a cat", long])
    with pytest.raises(InputError, match="at most 512 tokens"):
        model.condition([" ".join(["cat"] * 600)])
