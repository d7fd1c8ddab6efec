"""FLUX.2 klein's form on tiny random weights, against diffusers' own pipeline."""

import shutil

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
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from folders import check_same_weights, load
from transformers import Qwen3ForCausalLM

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import Flux2Klein


def autoencoder():
    torch.manual_seed(20)
    vae = AutoencoderKLFlux2(
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[8, 8], layers_per_block=1, norm_num_groups=4, latent_channels=4,
    ).eval()  # fmt: skip
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 2.0)
    return vae


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("klein")
    torch.manual_seed(21)
    transformer = Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=48, axes_dims_rope=[4, 4, 4, 4],
        guidance_embeds=False,
    ).eval()  # fmt: skip
    Flux2KleinPipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=tiny_text.qwen3(Qwen3ForCausalLM, layers=28),
        tokenizer=tiny_text.chat_words(), vae=autoencoder(), is_distilled=True,
    ).save_pretrained(path)  # fmt: skip
    return path


def test_the_network_hears_what_the_pipeline_tells_it(folder):
    model = check_same_steps(
        Flux2KleinPipeline.from_pretrained(folder), folder, "transformer", tiny_text.PROMPT,
        {"image_size": 24}, guidance_scale=1.0,
    )  # fmt: skip
    assert type(model) is Flux2Klein
    assert model.sample_shape == (16, 6, 6)
    assert model.condition(["a cat"])["encoder_hidden_states"].shape == (1, 512, 48)
    check_true_target(model)
    check_spoken(model, tiny_text.PROMPT)


def test_prompts_depend_on_nothing_else_in_the_batch(folder):
    prompts = ["a cat", tiny_text.PROMPT, "", "the", "a photo"]
    check_prompts_stand_alone(load(folder, image_size=16), prompts)


@torch.no_grad()
def test_latents_are_patches_that_the_batch_statistics_standardise(folder):
    model, pipe = load(folder, image_size=16), Flux2KleinPipeline.from_pretrained(folder)
    images = torch.rand(2, *model.image_shape)
    latents = model.encode(images)
    raw = pipe.vae.encode(images * 2 - 1).latent_dist.mean
    # Each patch by hand: channel, row and column within it, from the outermost to the innermost.
    for channel, row, column in ((0, 0, 0), (1, 0, 1), (2, 1, 0), (3, 1, 1)):
        place = 4 * channel + 2 * row + column
        deviation = (pipe.vae.bn.running_var[place] + 1e-4).sqrt()
        expected = (
            raw[:, channel, row::2, column::2] - pipe.vae.bn.running_mean[place]
        ) / deviation
        assert torch.allclose(latents[:, place], expected, atol=1e-5)
    decoded = pipe.vae.decode(raw).sample
    expected = ((decoded + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
    assert (model.decode(latents).int() - expected.int()).abs().max() <= 1


def test_saved_folder_loads_as_the_same_model(folder, tmp_path):
    model = load(folder, image_size=16)
    model.save_pretrained(tmp_path)
    again = load(tmp_path, image_size=16)
    check_same_weights(again, model)
    assert torch.equal(again.vae.bn.running_var, model.vae.bn.running_var)
    for keyword, tensor in model.unconditional().items():
        assert torch.equal(again.unconditional()[keyword], tensor)
    assert Flux2KleinPipeline.from_pretrained(tmp_path).config.is_distilled


def test_sizes_are_multiples_of_a_patch(folder):
    assert load(folder).image_shape == (3, 256, 256)  # 64 patches of an autoencoder of 2
    with pytest.raises(InputError, match="`image_size` as a multiple of 4, but got 18"):
        load(folder, image_size=18)


def test_a_prompt_that_is_too_long_with_its_template_is_refused(folder):
    model = load(folder, image_size=16)
    template = len(model.tokenizer(model.spoken([""]))["input_ids"][0])
    model.check([" ".join(["cat"] * (512 - template))])
    with pytest.raises(InputError, match=r"at most 512 tokens.*has 513"):
        model.check([" ".join(["cat"] * (513 - template))])


def test_a_tokenizer_without_its_chat_template_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "tokenizer" / "chat_template.jinja").unlink()
    model = load(tmp_path / "copy", image_size=16)
    with pytest.raises(InputError, match=r"chat template.*chat_template\.jinja"):
        model.check(["a cat"])
