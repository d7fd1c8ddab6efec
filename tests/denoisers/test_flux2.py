"""FLUX.2's form on tiny random weights, against diffusers' own pipeline."""

import re
import shutil
import warnings

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
    Flux2Pipeline,
    Flux2Transformer2DModel,
)
from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE
from folders import check_checkpoint, check_same_weights, edit_index, load
from transformers import (
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PixtralImageProcessor,
    PixtralProcessor,
    Qwen3ForCausalLM,
)

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import Flux2, Flux2Klein
from diffclf_lightning.denoisers.scratch import word_tokenizer


def autoencoder():
    torch.manual_seed(20)
    vae = AutoencoderKLFlux2(
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[8, 8], layers_per_block=1, norm_num_groups=4, latent_channels=4,
    ).eval()  # fmt: skip
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 2.0)
    return vae


def transformer(guided):
    torch.manual_seed(21)
    return Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=48, axes_dims_rope=[4, 4, 4, 4],
        guidance_embeds=guided,
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("klein")
    Flux2KleinPipeline(
        transformer=transformer(guided=False), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=tiny_text.qwen3(Qwen3ForCausalLM, layers=28),
        tokenizer=tiny_text.chat_words(), vae=autoencoder(), is_distilled=True,
    ).save_pretrained(path)  # fmt: skip
    return path


def processor():
    """Pixtral's processor for a tokenizer of few words, with a template in Mistral 3's form."""
    instruction = re.findall(r"\w+|[^\w\s]+", SYSTEM_MESSAGE)
    marks = ["[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[INST]", "[/INST]", "</s>"]
    tokenizer = word_tokenizer([*tiny_text.WORDS, *instruction], 2048)
    images = ["[IMG]", "[IMG_BREAK]", "[IMG_END]"]
    tokenizer.add_special_tokens({"additional_special_tokens": [*images, *marks]})
    template = (
        "{% for message in messages %}{% set text = message.content[0].text %}"
        "{% if message.role == 'system' %}[SYSTEM_PROMPT]{{ text }}[/SYSTEM_PROMPT]"
        "{% else %}[INST]{{ text }}[/INST]{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}</s>{% endif %}"
    )
    return PixtralProcessor(
        image_processor=PixtralImageProcessor(), tokenizer=tokenizer, chat_template=template
    )


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    path = tmp_path_factory.mktemp("dev")
    words = processor()
    torch.manual_seed(25)
    text = {
        "model_type": "mistral", "vocab_size": len(words.tokenizer), "hidden_size": 16,
        "intermediate_size": 16, "num_hidden_layers": 31, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 8, "sliding_window": None,
    }  # fmt: skip
    vision = {
        "model_type": "pixtral", "hidden_size": 16, "intermediate_size": 16, "image_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8, "patch_size": 16,
    }  # fmt: skip
    encoder = Mistral3ForConditionalGeneration(
        Mistral3Config(text_config=text, vision_config=vision)
    ).eval()
    Flux2Pipeline(
        transformer=transformer(guided=True), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=encoder, tokenizer=words, vae=autoencoder(),
    ).save_pretrained(path)  # fmt: skip
    return path


def test_dev_hears_what_the_pipeline_tells_it(dev, tmp_path):
    model = check_same_steps(
        Flux2Pipeline.from_pretrained(dev), dev, "transformer", tiny_text.PROMPT,
        {"image_size": 16, "guidance": 2.5}, guidance_scale=2.5,
    )  # fmt: skip
    assert type(model) is Flux2
    check_spoken(model, tiny_text.PROMPT)
    model.save_pretrained(tmp_path)
    again = load(tmp_path, image_size=16)
    assert again.guidance == 1.0
    check_same_weights(again, model)
    check_checkpoint(model, tiny_text.PROMPT)
    with pytest.raises(InputError, match="at most 512 tokens"):
        again.check([" ".join(["cat"] * 500)])


def test_distilled_models_say_that_they_are(folder, dev, tmp_path):
    with pytest.warns(UserWarning, match="few steps"):
        load(folder, image_size=16)
    with pytest.warns(UserWarning, match="guidance was distilled"):
        load(dev, image_size=16)
    shutil.copytree(folder, tmp_path / "base")
    edit_index(tmp_path / "base", is_distilled=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*distilled.*")
        load(tmp_path / "base", image_size=16)


def test_klein_is_told_no_guidance(folder):
    with pytest.raises(InputError, match="no argument `guidance`"):
        load(folder, guidance=2.0)


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
    check_checkpoint(model, tiny_text.PROMPT)
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


@pytest.mark.parametrize("which", ["folder", "dev"])
def test_a_tokenizer_without_its_chat_template_is_refused(request, which, tmp_path):
    shutil.copytree(request.getfixturevalue(which), tmp_path / "copy")
    (tmp_path / "copy" / "tokenizer" / "chat_template.jinja").unlink()
    model = load(tmp_path / "copy", image_size=16)
    with pytest.raises(InputError, match=r"chat template.*chat_template\.jinja"):
        model.check(["a cat"])
