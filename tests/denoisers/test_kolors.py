"""Kolors' form on tiny random weights, against diffusers' own pipeline."""

import pytest
import tiny_text
import torch
from against_pipeline import check_same_steps, check_true_target
from diffusers import EulerDiscreteScheduler, KolorsPipeline, UNet2DConditionModel
from diffusers.pipelines.kolors import ChatGLMModel, ChatGLMTokenizer
from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig
from folders import check_same_weights, load

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import Kolors
from diffclf_lightning.denoisers.skeleton import rebuilt


def tokenizer(folder):
    """ChatGLM's tokenizer for a vocabulary of few pieces."""
    return ChatGLMTokenizer(str(tiny_text.pieces(folder / "tokenizer.model")))


def text_encoder():
    """ChatGLM, of which diffusers leaves the weights unset."""
    torch.manual_seed(23)
    model = ChatGLMModel(
        ChatGLMConfig(
            num_layers=2, padded_vocab_size=40, hidden_size=16, ffn_hidden_size=32, kv_channels=8,
            num_attention_heads=2, seq_length=256, multi_query_attention=True, add_qkv_bias=True,
            multi_query_group_num=1, original_rope=True,
        )
    )  # fmt: skip
    for name, weight in model.named_parameters():
        torch.nn.init.normal_(weight, mean=float("norm" in name), std=0.2)
    return model.eval()


def pipeline(path):
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1, norm_num_groups=4, attention_head_dim=(2, 4), cross_attention_dim=12,
        encoder_hid_dim=16, encoder_hid_dim_type="text_proj", use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=16 + 6 * 8,
    ).eval()  # fmt: skip
    return KolorsPipeline(
        vae=tiny_text.autoencoder(scaling_factor=0.13025), text_encoder=text_encoder(),
        tokenizer=tokenizer(path), unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.014, beta_schedule="scaled_linear", steps_offset=1,
            num_train_timesteps=1100,
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("kolors")
    pipeline(tmp_path_factory.mktemp("tokenizer")).save_pretrained(path)
    return path


def test_the_network_hears_what_the_pipeline_tells_it(folder):
    pipe = KolorsPipeline.from_pretrained(folder)
    model = check_same_steps(
        pipe, folder, "unet", "a photo of a cat", {"image_size": 24}, guidance_scale=1.0
    )
    assert type(model) is Kolors
    assert model.image_shape == (3, 24, 24)
    assert model.condition(["a cat"])["encoder_hidden_states"].shape == (1, 256, 16)
    check_true_target(model)


@torch.no_grad()
def test_nothing_said_is_what_the_pipeline_is_guided_away_from(folder):
    pipe, told = KolorsPipeline.from_pretrained(folder), load(folder).unconditional()
    _, states, _, pooled = pipe.encode_prompt("x", do_classifier_free_guidance=True)
    assert torch.allclose(told["encoder_hidden_states"], states, atol=1e-6)
    assert torch.allclose(told["text_embeds"], pooled, atol=1e-6)


def test_prompts_depend_on_nothing_else_in_the_batch(folder):
    model = load(folder)
    prompts = ["a cat", tiny_text.PROMPT, "the"]
    together = model.condition(prompts)
    for place, prompt in enumerate(prompts):
        for keyword, tensor in model.condition([prompt]).items():
            assert torch.allclose(tensor[0], together[keyword][place], atol=1e-5)


@torch.no_grad()
def test_latents_are_scaled(folder):
    model = load(folder)
    images = torch.rand(2, *model.image_shape)
    raw = model.vae.encode(images * 2 - 1).latent_dist.mean
    assert torch.allclose(model.encode(images), raw * 0.13025, atol=1e-6)


def test_saved_folder_loads_as_the_same_model_here_and_in_diffusers(folder, tmp_path):
    model = load(folder)
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert type(again) is Kolors
    check_same_weights(again, model)
    told, same = model.condition(["a cat"]), again.condition(["a cat"])
    assert all(torch.equal(told[keyword], same[keyword]) for keyword in told)
    KolorsPipeline.from_pretrained(tmp_path)


def test_checkpoints_hold_the_form_with_its_vocabulary(folder):
    model = load(folder)
    again = rebuilt(**model.stored_form()["init_args"])
    assert type(again) is Kolors
    assert again.tokenizer("a photo of the cat") == model.tokenizer("a photo of the cat")
    again.load_state_dict(model.state_dict())
    told, same = model.condition(["a cat"]), again.condition(["a cat"])
    assert all(torch.equal(told[keyword], same[keyword]) for keyword in told)


def test_prompts_that_the_encoder_does_not_read_are_refused(folder):
    with pytest.raises(InputError, match="at most 256 tokens"):
        load(folder).condition([" ".join(["cat"] * 300)])
