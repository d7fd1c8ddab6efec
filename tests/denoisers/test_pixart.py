"""PixArt's form on tiny random weights, against diffusers' own pipelines."""

import json
import shutil

import pytest
import tiny
import torch
from diffusers import (
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
)
from folders import check_same_weights, edit_index, load
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import PixArt, PixArtSigma
from diffclf_lightning.denoisers.scratch import word_tokenizer
from diffclf_lightning.evaluation import Noised

WORDS = ["a", "cat", "on", "the", "mat", "photo", "of", "dog"]
PROMPT = "A photo of the cat on the mat"  # 8 words, 10 tokens
FORMS = ["alpha", "sigma", "clip"]


def pipeline(form):
    """Alpha has the size of 1024 pixels with its added conditions; the others are small."""
    torch.manual_seed(4)
    if form == "clip":
        tokenizer = word_tokenizer(WORDS, 10)
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, projection_dim=16,
                num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=10,
                bos_token_id=2, eos_token_id=3, pad_token_id=0,
            )
        )  # fmt: skip
    else:
        tokenizer = word_tokenizer(WORDS, 512)
        text = T5EncoderModel(
            T5Config(
                vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2
            )
        )
    big = form == "alpha"
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=8, num_layers=2,
        cross_attention_dim=24, sample_size=128 if big else 8, patch_size=16 if big else 2,
        caption_channels=16, use_additional_conditions=big,
    )  # fmt: skip
    scheduler = DPMSolverMultistepScheduler(beta_start=1e-4, beta_end=0.02)
    kind = PixArtSigmaPipeline if form == "sigma" else PixArtAlphaPipeline
    parts = {"tokenizer": tokenizer, "text_encoder": text.eval(), "vae": tiny.autoencoder()}
    return kind(**parts, transformer=transformer.eval(), scheduler=scheduler)


@pytest.fixture(scope="module", params=FORMS)
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    pipeline(request.param).save_pretrained(path)
    return path


def heard(transformer, call):
    """What a transformer is given, and what it gives, in each call."""
    calls = []

    def keep(_, args, kwargs, output):
        calls.append(({"hidden_states": args[0], **kwargs}, output[0]))

    handle = transformer.register_forward_hook(keep, with_kwargs=True)
    result = call()
    handle.remove()
    return calls, result


def rows(inputs, rows):
    added = inputs.pop("added_cond_kwargs")
    named = {**inputs, **{k: v for k, v in added.items() if v is not None}}
    return {k: v[rows] for k, v in named.items() if isinstance(v, torch.Tensor)}


@torch.no_grad()
def test_the_network_is_told_what_the_pipeline_tells_it(folder, seed):
    kind = PixArtSigmaPipeline if folder.name.startswith("sigma") else PixArtAlphaPipeline
    pipe = kind.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    model = load(folder)
    options = {"max_sequence_length": 10} if folder.name.startswith("clip") else {}
    side = model.image_shape[1]
    theirs, _ = heard(
        pipe.transformer,
        lambda: pipe(
            PROMPT, num_inference_steps=2, latents=torch.randn(1, *model.sample_shape),
            height=side, width=side, use_resolution_binning=False, clean_caption=False,
            output_type="latent", **options,
        ),
    )  # fmt: skip
    assert len(theirs) == 2
    for inputs, output in theirs:
        expected = rows(dict(inputs), slice(1, 2))
        ours, noise = heard(
            model.transformer,
            lambda told=expected: model(
                told["hidden_states"], told["timestep"], model.condition([PROMPT])
            ),
        )
        mine = rows(dict(ours[0][0]), slice(None))
        if folder.name.startswith("clip"):  # without padding the mask says nothing
            assert expected.pop("encoder_attention_mask").all()
        assert mine.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.allclose(mine[name].float(), tensor.float(), atol=1e-5), name
        assert torch.allclose(noise, output[1:, :4], atol=1e-5)
        assert output.shape[1] == 8


@torch.no_grad()
def test_the_empty_prompt_is_the_negative_prompt_of_the_pipeline(folder):
    kind = PixArtSigmaPipeline if folder.name.startswith("sigma") else PixArtAlphaPipeline
    model = load(folder)
    _, _, expected, mask = kind.from_pretrained(folder).encode_prompt(
        "x", max_sequence_length=model.token_limits["tokenizer"]
    )
    told, said = model.unconditional(), int(mask.sum())
    ours = told["encoder_hidden_states"][:, :said]
    assert torch.allclose(ours, expected[:, :said], atol=1e-5)
    if not folder.name.startswith("clip"):  # whose padding is masked there, and not here
        assert torch.allclose(told["encoder_hidden_states"], expected, atol=1e-5)
        assert torch.equal(told["encoder_attention_mask"], mask)


def test_padding_of_t5_changes_nothing(folder, seed):
    model = load(folder)
    if not model.masked:
        assert set(model.condition(["a cat"])) == {"encoder_hidden_states"}
        return
    told = model.condition(["a cat"])
    assert told["encoder_hidden_states"].shape[1] == (300 if type(model) is PixArtSigma else 120)
    other = {k: v.clone() for k, v in told.items()}
    other["encoder_hidden_states"][:, 4:] = 7.0  # begin, a, cat, end
    x_t = torch.randn(1, *model.sample_shape)
    with torch.no_grad():
        assert torch.equal(
            model(x_t, torch.tensor([5]), told), model(x_t, torch.tensor([5]), other)
        )
    assert not other["encoder_attention_mask"][:, 4:].any()


def test_saved_folder_loads_as_the_same_model(folder, tmp_path):
    model = load(folder)
    assert type(model) is (PixArtSigma if folder.name.startswith("sigma") else PixArt)
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert type(again) is type(model)
    check_same_weights(again, model)
    assert again.token_limits == model.token_limits


def test_indices_of_the_time_of_the_first_weights_load(folder, tmp_path):
    """They name the class that all transformers had once."""
    shutil.copytree(folder, tmp_path / "old")
    edit_index(tmp_path / "old", transformer=["diffusers", "Transformer2DModel"])
    config = tmp_path / "old" / "transformer" / "config.json"
    named = {"_class_name": "Transformer2DModel", "norm_type": "ada_norm_single"}
    config.write_text(json.dumps(json.loads(config.read_text()) | named))
    old, new = load(tmp_path / "old"), load(folder)
    assert type(old) is type(new)
    check_same_weights(old, new)


def test_the_true_noise_gives_the_clean_sample(folder, seed):
    """Of twice the channels the first half is the noise."""
    model = load(folder)
    x_0, noise = torch.randn(2, 3, *model.sample_shape)
    noised = Noised(x_0, noise, model.schedule.of(torch.tensor([1, 400, 900])))
    both = torch.cat([noise, torch.randn_like(noise)], dim=1)
    handle = model.transformer.register_forward_hook(
        lambda module, inputs, output: type(output)(sample=both)
    )
    with torch.no_grad():
        said = model.predict(noised, model.condition(["a cat", "a dog", "the mat"]))
    handle.remove()
    assert torch.allclose(said.noise, noise, atol=1e-6)
    assert torch.allclose(said.x_0, x_0, atol=1e-2)  # a hundredth of the noise is left at t = 900
    assert torch.allclose(said.x_0[:2], x_0[:2], atol=1e-4)
    steps = DDPMScheduler.from_config(model.schedule.scheduler.config)
    for row, t in enumerate(noised.at.timestep):
        log_variance = steps._get_variance(t, both[row, 4:], "learned_range")
        assert torch.allclose(said.log_variance[row], log_variance, atol=1e-3)


def test_latents_are_scaled_as_the_autoencoder_says(folder, seed):
    model = load(folder)
    images = torch.rand(1, *model.image_shape)
    with torch.no_grad():
        expected = model.vae.encode(images * 2 - 1).latent_dist.mean * 0.18215
        assert torch.allclose(model.encode(images), expected, atol=1e-6)


@torch.no_grad()
def test_a_model_of_pixels_sees_windows_at_their_places(seed):
    """Attention that looks at nothing but itself: a window's output is a cut of the whole's."""
    pipe = pipeline("clip")
    config = {**pipe.transformer.config, "in_channels": 1, "out_channels": 1}
    transformer = PixArtTransformer2DModel(**config).eval()
    for block in transformer.transformer_blocks:
        block.attn1.to_out[0].weight.zero_()
        block.attn1.to_out[0].bias.zero_()
    model = PixArt(transformer, pipe.scheduler, pipe.text_encoder, pipe.tokenizer)
    assert model.image_shape == (1, 8, 8)
    x_t, t = torch.randn(2, 1, 8, 8), torch.tensor([10, 700])
    told = model.condition(["a cat", "the dog"])
    whole = model(x_t, t, told)
    corners = torch.tensor([[0, 4], [2, 0]])
    cut = torch.stack([x_t[0, :, 0:4, 4:8], x_t[1, :, 2:6, 0:4]])
    with model.windows(corners):
        seen = model(cut, t, told)
    assert torch.allclose(seen[0], whole[0, :, 0:4, 4:8], atol=1e-5)
    assert torch.allclose(seen[1], whole[1, :, 2:6, 0:4], atol=1e-5)
    assert torch.equal(model(x_t, t, told), whole)


def test_parts_that_do_not_fit_are_named():
    pipe = pipeline("clip")
    pipe.text_encoder.config.hidden_size = 7
    with pytest.raises(InputError, match="text encoder of width 16, but got 7"):
        PixArt(pipe.transformer, pipe.scheduler, pipe.text_encoder, pipe.tokenizer)
