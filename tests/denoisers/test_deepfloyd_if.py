"""DeepFloyd IF's first stage on tiny random weights, against diffusers' own pipeline."""

import json
import shutil
import sys
import types

import pytest
import tiny_text
import torch
from against_pipeline import check_same_steps, check_true_target
from diffusers import DDPMScheduler, IFPipeline, UNet2DConditionModel
from folders import check_same_weights, edit_index, load

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import DeepFloydIF
from diffclf_lightning.evaluation import Noised, get_loss

PROMPT = " A Photo of the cat (a cat)"


def pipeline(text_encoder):
    torch.manual_seed(22)
    unet = UNet2DConditionModel(
        sample_size=16, layers_per_block=1, block_out_channels=(8, 16), norm_num_groups=4,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        in_channels=3, out_channels=6, cross_attention_dim=32, encoder_hid_dim=24,
        attention_head_dim=4, addition_embed_type="text", addition_embed_type_num_heads=2,
        cross_attention_norm="group_norm", resnet_time_scale_shift="scale_shift", act_fn="gelu",
    ).eval()  # fmt: skip
    tokenizer = tiny_text.words()
    tokenizer.backend_tokenizer.normalizer = None  # T5 tells capital letters from small ones
    return IFPipeline(
        tokenizer=tokenizer, text_encoder=text_encoder, unet=unet,
        scheduler=DDPMScheduler(
            beta_schedule="squaredcos_cap_v2", thresholding=True, dynamic_thresholding_ratio=0.95,
            variance_type="learned_range",
        ),
        safety_checker=None, feature_extractor=None, watermarker=None,
        requires_safety_checker=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("if")
    pipeline(tiny_text.t5(24)).save_pretrained(path)
    unused = ["deepfloyd_if", "IFWatermarker"], ["deepfloyd_if", "IFSafetyChecker"]
    edit_index(path, watermarker=unused[0], safety_checker=unused[1])
    return path


def opened(folder):
    return IFPipeline.from_pretrained(
        folder, safety_checker=None, watermarker=None, requires_safety_checker=False
    )


def test_the_network_hears_what_the_pipeline_tells_it(folder):
    pipe = opened(folder)
    pipe.scheduler.register_to_config(variance_type="fixed_small")  # steps by the noise alone
    model = check_same_steps(pipe, folder, "unet", PROMPT, guidance_scale=1.0, clean_caption=False)
    assert type(model) is DeepFloydIF
    assert model.image_shape == model.sample_shape == (3, 16, 16)
    check_true_target(model)


@torch.no_grad()
def test_nothing_said_is_what_the_pipeline_is_guided_away_from(folder):
    _, states = opened(folder).encode_prompt("x")
    assert torch.allclose(load(folder).unconditional()["encoder_hidden_states"], states, atol=1e-6)


@torch.no_grad()
def test_pixels_are_the_samples(folder):
    model = load(folder)
    images = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    assert torch.allclose(model.encode(images), images / 127.5 - 1, atol=1e-6)
    assert torch.equal(model.decode(model.encode(images)), images)


@torch.no_grad()
def test_the_noise_is_the_first_half_and_the_variance_the_second(folder, seed):
    model = load(folder)
    assert model.predicts_variance
    at = model.schedule.of(torch.tensor([1, 400, 999]))
    noised = Noised(*torch.randn(2, 3, *model.sample_shape), at)
    told = model.condition(["a cat", "the mat", PROMPT])
    whole = model.unet(noised.x_t, at.timestep, told["encoder_hidden_states"]).sample
    said = model.predict(noised, told)
    assert torch.allclose(said.noise, whole[:, :3], atol=1e-6)
    scheduler = opened(folder).scheduler
    for row, t in enumerate(at.timestep):
        expected = scheduler._get_variance(t, whole[row, 3:], "learned_range")
        assert torch.allclose(said.log_variance[row], expected, atol=1e-3)
    assert get_loss("bound")(noised, said).isfinite().all()


def test_prompts_depend_on_nothing_else_in_the_batch(folder):
    model = load(folder)
    prompts = ["a cat", PROMPT, "the"]
    together = model.condition(prompts)["encoder_hidden_states"]
    assert together.shape == (3, 77, 24)
    for place, prompt in enumerate(prompts):
        alone = model.condition([prompt])["encoder_hidden_states"]
        assert torch.allclose(alone[0], together[place], atol=1e-6)


def as_published(folder, copy):
    """The same with T5's tokenizer in two files, of which the vocabulary is missing."""
    shutil.copytree(folder, copy)
    (copy / "tokenizer/tokenizer.json").unlink()
    config = {"tokenizer_class": "T5Tokenizer", "model_max_length": 512, "extra_ids": 0}
    (copy / "tokenizer/tokenizer_config.json").write_text(json.dumps(config))
    edit_index(copy, tokenizer=["transformers", "T5Tokenizer"])
    return copy / "tokenizer/spiece.model"


def test_vocabularies_of_sentencepiece_are_read(folder, tmp_path):
    vocabulary = as_published(folder, tmp_path / "copy")
    tiny_text.pieces(vocabulary, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    model = load(tmp_path / "copy")
    (ids,) = model.tokens(["a photo of the cat"])["input_ids"].tolist()
    said = "".join(model.tokenizer.convert_ids_to_tokens(ids))
    assert said.split("</s>")[0] == "▁a▁photo▁of▁the▁cat"
    assert len(ids) == 77


@pytest.mark.parametrize("package", ["sentencepiece", "google"])
def test_what_reads_them_is_asked_for(folder, tmp_path, monkeypatch, package):
    as_published(folder, tmp_path / "copy").write_bytes(b"any")
    for module in ("sentencepiece", "google", "google.protobuf"):
        missing = module.partition(".")[0] == package
        monkeypatch.setitem(sys.modules, module, None if missing else types.ModuleType(module))
    with pytest.raises(InputError, match=rf"{package}.*'diffclf-lightning\[sentencepiece\]'"):
        load(tmp_path / "copy")


def test_text_encoders_that_are_trained_get_gradients(folder):
    told = DeepFloydIF.from_pretrained(folder, train_text_encoder=True).condition(["a cat"])
    assert told["encoder_hidden_states"].requires_grad
    assert not load(folder).condition(["a cat"])["encoder_hidden_states"].requires_grad


def test_saved_folder_loads_as_the_same_model(folder, tmp_path):
    model = load(folder)
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    check_same_weights(again, model)
    assert type(again) is DeepFloydIF


def test_other_text_encoders_and_longer_prompts_are_refused(folder, tmp_path):
    pipeline(tiny_text.t5(16)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="width 24, but got 16"):
        load(tmp_path)
    with pytest.raises(InputError, match="at most 77 tokens"):
        load(folder).condition([" ".join(["cat"] * 76)])
