"""Sana's form on tiny random weights, against diffusers' own pipeline."""

import pytest
import tiny_text
import torch
from against_pipeline import check_same_steps, check_true_target
from diffusers import (
    AutoencoderDC,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    SanaPipeline,
    SanaTransformer2DModel,
)
from folders import check_same_weights, edit_index, load

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import Sana
from diffclf_lightning.denoisers.sana import INSTRUCTION

SCALE = 0.41407


def pipeline(**options):
    """With twice the channels in the output, and times at half of the scale of the steps."""
    torch.manual_seed(21)
    transformer = SanaTransformer2DModel(
        in_channels=4, out_channels=8, num_layers=1, num_attention_heads=2, attention_head_dim=8,
        num_cross_attention_heads=2, cross_attention_head_dim=8, cross_attention_dim=16,
        caption_channels=16, sample_size=8, timestep_scale=0.5, **options,
    ).eval()  # fmt: skip
    vae = AutoencoderDC(
        latent_channels=4, attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)),
        downsample_block_type="conv", upsample_block_type="interpolate", scaling_factor=SCALE,
    ).eval()  # fmt: skip
    tokenizer = tiny_text.words_of(" ".join(INSTRUCTION))
    return SanaPipeline(
        tokenizer=tokenizer, text_encoder=tiny_text.gemma(tokenizer), vae=vae,
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(
            use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sana")
    pipeline().save_pretrained(path)
    return path


def test_the_network_hears_what_the_pipeline_tells_it(folder):
    pipe = SanaPipeline.from_pretrained(folder)
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)  # the other has whole steps alone
    prompt = "  A photo of the Cat on the mat "
    model = check_same_steps(
        pipe, folder, "transformer", prompt, {"image_size": 32},
        guidance_scale=1.0, use_resolution_binning=False,
    )  # fmt: skip
    assert type(model) is Sana
    assert model.sample_shape == (4, 16, 16)
    told = model.condition([prompt])
    assert told["encoder_hidden_states"].shape == (1, 300, 16)
    assert (
        told["encoder_attention_mask"].sum() == 10
    )  # the begin, the instruction's last, and 8 words
    heard = pipe._text_preprocessing(prompt)[0]
    assert model.spoken([prompt]) == ["\n".join(INSTRUCTION) + heard]
    check_true_target(model)


@torch.no_grad()
def test_latents_are_those_of_the_encoder_scaled(folder):
    model, vae = load(folder), SanaPipeline.from_pretrained(folder).vae
    assert model.image_shape == (3, 16, 16)
    assert not hasattr(model.vae, "decoder")
    images = torch.rand(2, 3, 16, 16)
    latents = model.encode(images)
    assert torch.allclose(latents, vae.encode(images * 2 - 1).latent * SCALE, atol=1e-6)
    expected = (vae.decode(latents / SCALE).sample + 1) * 127.5
    expected = expected.clamp(0, 255).round().int()
    assert (model.decode(latents).int() - expected).abs().max() <= 1


@torch.no_grad()
def test_nothing_said_is_what_the_pipeline_is_guided_away_from(folder):
    model = load(folder)
    _, _, states, mask = SanaPipeline.from_pretrained(folder).encode_prompt(
        "a cat", complex_human_instruction=INSTRUCTION
    )
    told = model.unconditional()
    assert torch.allclose(told["encoder_hidden_states"], states, atol=1e-6)
    assert torch.equal(told["encoder_attention_mask"], mask)
    assert mask.sum() == 1  # the begin: no instruction


def test_prompts_depend_on_nothing_else_in_the_batch(folder):
    model = load(folder)
    prompts = ["a cat", "a photo of a dog on the mat", "the"]
    together = model.condition(prompts)
    for place, prompt in enumerate(prompts):
        for keyword, tensor in model.condition([prompt]).items():
            assert torch.allclose(tensor[0], together[keyword][place], atol=1e-6)


@torch.no_grad()
def test_padding_says_nothing(folder):
    model = load(folder)
    told, x = model.condition(["a cat"]), torch.randn(1, *model.sample_shape)
    padding = (told["encoder_attention_mask"] == 0)[..., None]
    other = dict(told) | {"encoder_hidden_states": told["encoder_hidden_states"] + 9 * padding}
    time = torch.tensor([400.0])
    assert torch.allclose(model(x, time, told), model(x, time, other), atol=1e-6)


def test_saved_folder_loads_as_the_same_model(folder, tmp_path):
    model = load(folder)
    model.save_pretrained(tmp_path)
    check_same_weights(load(tmp_path), model)
    SanaPipeline.from_pretrained(tmp_path)


def test_the_longest_prompt_is_heard_to_its_end_and_a_longer_one_is_refused(folder):
    model = load(folder)
    longest, other = (" ".join(["cat"] * 297 + [last]) for last in ("cat", "dog"))
    told = model.condition([longest, other])
    assert told["encoder_attention_mask"].all()
    different = (told["encoder_hidden_states"][0] - told["encoder_hidden_states"][1]).any(dim=1)
    assert different.nonzero().flatten().tolist() == [299]
    with pytest.raises(InputError, match=r"tokens, but 'cat cat.*as the model reads it"):
        model.condition([longest + " cat"])


def test_sprint_is_refused(tmp_path):
    pipeline(guidance_embeds=True).save_pretrained(tmp_path)
    edit_index(tmp_path, _class_name="SanaSprintPipeline")
    with pytest.raises(InputError, match=r"Sana model of flow matching.*Sana-Sprint"):
        load(tmp_path)
