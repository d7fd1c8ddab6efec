"""HunyuanDiT's form on tiny random weights, against diffusers' own pipeline."""

import pytest
import tiny_text
import torch
from against_pipeline import check_same_steps, check_true_target
from diffusers import DDPMScheduler, HunyuanDiT2DModel, HunyuanDiTPipeline
from folders import check_same_weights, load
from transformers import BertConfig, BertModel

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import HunyuanDiT
from diffclf_lightning.evaluation import Noised, get_loss

PROMPT = "A photo of the cat on the mat"


def pipeline(told_sizes):
    torch.manual_seed(21)
    transformer = HunyuanDiT2DModel(
        sample_size=8, num_layers=2, patch_size=2, attention_head_dim=8, num_attention_heads=3,
        in_channels=4, hidden_size=24, cross_attention_dim=16, cross_attention_dim_t5=32,
        pooled_projection_dim=16, use_style_cond_and_image_meta_size=told_sizes,
    )  # fmt: skip
    tokenizer = tiny_text.words()
    bert = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=80,
    )  # fmt: skip
    return HunyuanDiTPipeline(
        vae=tiny_text.autoencoder(factor=8, scaling_factor=0.13025),
        text_encoder=BertModel(bert).eval(), tokenizer=tokenizer,
        text_encoder_2=tiny_text.t5(32), tokenizer_2=tokenizer, transformer=transformer.eval(),
        scheduler=DDPMScheduler(
            beta_start=0.00085, beta_end=0.03, beta_schedule="scaled_linear",
            prediction_type="v_prediction",
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


@pytest.fixture(scope="module", params=[True, False], ids=["told sizes", "not"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("hunyuan")
    pipeline(request.param).save_pretrained(path)
    return path


def opened(folder):
    return HunyuanDiTPipeline.from_pretrained(folder, requires_safety_checker=False)


def test_the_network_hears_what_the_pipeline_tells_it(folder):
    model = check_same_steps(
        opened(folder), folder, "transformer", PROMPT, {"image_size": 96},
        guidance_scale=1.0, use_resolution_binning=False,
    )  # fmt: skip
    assert type(model) is HunyuanDiT
    assert model.sample_shape == (4, 12, 12)
    check_true_target(model)


@torch.no_grad()
def test_nothing_said_is_what_the_pipeline_is_guided_away_from(folder):
    pipe, told = opened(folder), load(folder).unconditional()
    for place, suffix in enumerate(("", "_t5")):
        _, states, _, mask = pipe.encode_prompt("x", text_encoder_index=place)
        assert torch.allclose(told[f"encoder_hidden_states{suffix}"], states, atol=1e-6)
        assert torch.equal(told[f"text_embedding_mask{suffix}"], mask)


@torch.no_grad()
def test_the_target_is_the_first_half_and_the_variance_the_second(folder, seed):
    """The bound of Nichol and Dhariwal (2021) is of the network's own variance."""
    model = load(folder)
    at = model.schedule.of(torch.tensor([1, 400, 999]))
    noised, told = Noised(*torch.randn(2, 3, *model.sample_shape), at), model.condition([PROMPT])
    told = told.rows(torch.zeros(3, dtype=torch.int64))
    keywords = {key: told[key] for key in told if key != "image_rotary_emb"}
    whole = model.transformer(
        noised.x_t, at.timestep.float(), image_rotary_emb=tuple(told["image_rotary_emb"]),
        **keywords,
    ).sample  # fmt: skip
    assert whole.shape[1] == 8
    said = model.predict(noised, told)
    velocity, variance = whole[:, :4], whole[:, 4:]
    alpha, sigma = (part.view(-1, 1, 1, 1) for part in (at.alpha, at.sigma))
    assert torch.allclose(said.noise, alpha * velocity + sigma * noised.x_t, atol=1e-5)
    assert torch.allclose(model(noised.x_t, at.timestep, told), velocity, atol=1e-6)
    beta = model.schedule.scheduler.betas.double()
    abar = (1 - beta).cumprod(0)
    t = at.timestep
    least = (beta[t] * (1 - abar[t - 1]) / (1 - abar[t])).log().view(-1, 1, 1, 1)
    between = (variance + 1) / 2
    expected = between * beta[t].log().view(-1, 1, 1, 1) + (1 - between) * least
    assert torch.allclose(said.log_variance, expected.float(), atol=1e-4)
    assert get_loss("bound")(noised, said).isfinite().all()


@torch.no_grad()
def test_latents_are_scaled(folder):
    model = load(folder)
    images = torch.rand(2, *model.image_shape)
    raw = model.vae.encode(images * 2 - 1).latent_dist.mean
    assert torch.allclose(model.encode(images), raw * 0.13025, atol=1e-6)


def test_prompts_depend_on_nothing_else_in_the_batch(folder):
    model = load(folder)
    prompts = ["a cat", PROMPT, "the"]
    together = model.condition(prompts)
    for place, prompt in enumerate(prompts):
        for keyword, tensor in model.condition([prompt]).items():
            own = together[keyword] if keyword in together.shared else together[keyword][[place]]
            assert torch.allclose(tensor.float(), own.float(), atol=1e-6)


def test_saved_folder_loads_as_the_same_model(folder, tmp_path):
    model = load(folder)
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    check_same_weights(again, model)
    assert type(again) is HunyuanDiT


def test_what_one_encoder_cuts_is_said_and_what_both_cut_is_refused(folder):
    model = load(folder)
    with pytest.warns(UserWarning, match=r"1 of 1 prompts.*77 tokens.*model's tokenizer cuts"):
        model.condition([" ".join(["cat"] * 80)])
    with pytest.raises(InputError, match="at most 256 tokens"):
        model.condition([" ".join(["cat"] * 300)])
    with pytest.raises(InputError, match="`image_size` as a multiple of 16, but got 24"):
        load(folder, image_size=24)


def test_half_precision(folder):
    model = load(folder, torch_dtype="bfloat16")
    told = model.condition([PROMPT])
    with torch.no_grad():
        output = model(torch.randn(1, *model.sample_shape), torch.tensor([500]), told)
    assert output.dtype == torch.bfloat16
    assert output.isfinite().all()
