"""Pipelines loaded, tuned and written, against what diffusers itself reads and writes."""

import itertools
import json
import shutil
import sys
from fractions import Fraction
from types import SimpleNamespace

import pytest
import tiny
import torch
from diffusers import (
    AutoencoderKL,
    DiTPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DModel,
)
from folders import NETWORK, check_same_weights, edit_index, edit_weights, load
from safetensors.torch import load_file

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import DiTDenoiser, StableDiffusion
from diffclf_lightning.denoisers.auto import ASSETS, FAMILIES


@pytest.mark.parametrize("family", ["text", "dit", "unet"])
def test_saved_folder_loads_as_the_same_model(whole, tmp_path, family):
    model = load(whole / family)
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert type(again) is type(model)
    assert not again.training
    check_same_weights(again, model)
    assert again.schedule.scheduler.config == model.schedule.scheduler.config
    modes = {oct(f.stat().st_mode & 0o777) for f in tmp_path.rglob("*") if f.is_file()}
    assert modes == {"0o644"}


@pytest.mark.parametrize("name", sorted(file.parent.name for file in ASSETS.glob("*/*_index.json")))
def test_embedded_models_load_and_are_written_again(tmp_path, name):
    model = load(f"diffclf/{name}")
    model.save_pretrained(tmp_path)
    check_same_weights(load(tmp_path), model)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index == json.loads((ASSETS / name / "model_index.json").read_text())


@pytest.mark.parametrize("null", [False, True])
def test_classes_and_the_null_class_are_written(tmp_path, null):
    model = tiny.unet(null=null)
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert again.num_classes == 5
    assert again.classnames == model.classnames
    assert again.null_class == model.null_class == (5 if null else None)


def test_tokens_are_those_of_diffusers(whole):
    prompt = "a photo of an Abyssinian, a type of pet."
    pipeline = StableDiffusionPipeline.from_pretrained(whole / "text", safety_checker=None)
    expected = pipeline.tokenizer(prompt)["input_ids"]
    assert load(whole / "text").tokenizer(prompt)["input_ids"] == expected


def test_pipeline_saved_by_diffusers_loads(tmp_path):
    model = tiny.dit_with_vae()
    names = {i: f"thing {i}" for i in range(5)}
    DiTPipeline(model.model, model.vae, model.schedule.scheduler, names).save_pretrained(tmp_path)
    loaded = load(tmp_path, torch_dtype=torch.bfloat16)
    assert isinstance(loaded, DiTDenoiser)
    assert loaded.vae.dtype == loaded.model.dtype == torch.bfloat16
    assert loaded.at([Fraction(1, 2)]).alpha.dtype == torch.float32


@pytest.mark.parametrize("files", [["transformer/config.json"], ["model_index.json"], "both"])
def test_pipelines_of_the_time_of_the_first_weights_load(whole, copy, files):
    """diffusers called the network Transformer2DModel when DiT-XL/2 was published."""
    folder = copy("dit")
    for name in ["transformer/config.json", "model_index.json"] if files == "both" else files:
        file = folder / name
        old = file.read_text().replace("DiTTransformer2DModel", "Transformer2DModel")
        assert "Transformer2DModel" in old
        file.write_text(old)
    loaded = load(folder)
    assert isinstance(loaded, DiTDenoiser)
    check_same_weights(loaded, load(whole / "dit"))


def test_autoencoders_of_the_time_of_the_first_weights_load(whole, copy):
    """diffusers called the parts of attention otherwise when Stable Diffusion was published."""
    folder = copy("text")
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(weights):
        for name, (new, first) in itertools.product(list(weights), old.items()):
            if f".{new}." in name:
                weights[name.replace(new, first)] = weights.pop(name)
        assert "encoder.mid_block.attentions.0.query.weight" in weights

    edit_weights(folder / "vae" / NETWORK, rename)
    check_same_weights(load(folder), load(whole / "text"))


def test_our_pipeline_of_pixels_is_read_by_diffusers(whole, tmp_path):
    model = load(whole / "unet")
    model.save_pretrained(tmp_path)
    check_same_weights(UNet2DModel.from_pretrained(tmp_path, subfolder="unet"), model.model)


@pytest.mark.parametrize("family", ["text", "dit"])
def test_decoder_is_in_no_memory_of_the_network_and_is_written_again(whole, tmp_path, family):
    model = load(whole / family, torch_dtype="bfloat16")
    assert not [name for name in model.state_dict() if "decoder" in name or "post_quant" in name]
    for _ in range(2):
        model.save_pretrained(tmp_path)
        assert not hasattr(model.vae, "decoder")
        stored = load_file(tmp_path / "vae" / NETWORK)
        original = load_file(whole / family / "vae" / NETWORK)
        assert stored.keys() == original.keys()
        for name, weight in original.items():
            assert torch.equal(stored[name], weight.to(torch.bfloat16))
    latents = torch.randn(1, 4, 8, 8, dtype=torch.bfloat16)
    vae = AutoencoderKL.from_pretrained(tmp_path / "vae", torch_dtype=torch.bfloat16)
    assert vae.decode(latents).sample.shape == (1, 3, 16, 16)


def test_a_family_is_one_class_and_one_line(whole, copy, monkeypatch):
    """The pipeline's name goes before the network's class."""

    class TwoEncoders(StableDiffusion):
        pipeline_class = StableDiffusionXLPipeline
        components = (*StableDiffusion.components, "text_encoder_2", "tokenizer_2")

        def __init__(self, *, text_encoder_2, tokenizer_2, **components):
            super().__init__(**components)
            self.text_encoder_2, self.tokenizer_2 = text_encoder_2, tokenizer_2

    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(TwoEncoders=TwoEncoders))
    monkeypatch.setitem(FAMILIES, "StableDiffusionXLPipeline", "mine:TwoEncoders")
    folder = copy("text")
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(folder / part, folder / f"{part}_2")
    index = json.loads((folder / "model_index.json").read_text())
    parts = {f"{part}_2": index[part] for part in ("text_encoder", "tokenizer")}
    edit_index(folder, _class_name="StableDiffusionXLPipeline", **parts)
    model = load(folder)
    assert isinstance(model, TwoEncoders)
    model.save_pretrained(folder / "again")
    assert type(load(folder / "again")) is TwoEncoders
    shutil.rmtree(folder / "tokenizer_2")
    with pytest.raises(InputError, match="`tokenizer_2`"):
        load(folder)
    assert type(load(whole / "text")) is StableDiffusion
