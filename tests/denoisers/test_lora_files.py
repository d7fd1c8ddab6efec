"""LoRA weights of diffusers' files, against the plain sum of what they hold."""

import re

import diffusers
import pytest
import test_flux
import tiny
import torch
from diffusers import FluxPipeline, StableDiffusionPipeline
from folders import load
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import DiTDenoiser

UNET = "unet.{}.{}.weight"


@pytest.fixture
def adapter(whole, tmp_path, seed):
    """Writes an adapter as training scripts of diffusers do; its pipeline and its folder."""

    def written(name, rank, alpha, targets):
        pipe = StableDiffusionPipeline.from_pretrained(whole / "text", safety_checker=None)
        config = LoraConfig(
            r=rank, lora_alpha=alpha, target_modules=targets, init_lora_weights=False
        )
        pipe.unet.add_adapter(config)
        StableDiffusionPipeline.save_lora_weights(
            tmp_path / name,
            unet_lora_layers=get_peft_model_state_dict(pipe.unet),
            unet_lora_adapter_metadata=config.to_dict(),
        )
        return pipe, tmp_path / name

    return written


def changes(folder, scale):
    """scale * B A of each layer, by the layer's name."""
    (file,) = folder.glob("*.safetensors")
    weights = load_file(file)
    names = {name.split(".", 1)[1].rsplit(".", 2)[0] for name in weights}
    up, down = (
        {name: weights[UNET.format(name, part)].flatten(1) for name in names}
        for part in ("lora_B", "lora_A")
    )
    return {name: scale * up[name] @ down[name] for name in names}


def test_weighted_adapters_are_the_sum_of_their_changes(whole, adapter):
    """W + sum_i w_i (alpha_i / r_i) B_i A_i, where both change a layer, where one does, and none.

    The rank of each is not its alpha.
    """
    _, first = adapter("first", 2, 3, ["to_q", "to_k"])
    _, second = adapter("second", 4, 2, ["to_k", "proj_in"])
    tuned = load(whole / "text", lora={str(first): 0.7, str(second): -0.3}).unet.state_dict()
    expected = load(whole / "text").unet.state_dict()
    asked = [changes(first, 0.7 * 3 / 2), changes(second, -0.3 * 2 / 4)]
    assert asked[0].keys() & asked[1].keys()
    for added in asked:
        for name, change in added.items():
            weight = expected[f"{name}.weight"]
            expected[f"{name}.weight"] = weight + change.reshape(weight.shape)
    assert tuned.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.allclose(tuned[name], weight, atol=1e-6), name


def test_an_adapter_alone_is_that_of_diffusers(whole, adapter):
    pipe, folder = adapter("one", 2, 2, ["to_q"])
    tuned, plain = load(whole / "text", lora=str(folder)), load(whole / "text")
    x_t, t = torch.randn(1, *plain.sample_shape), torch.tensor([500])
    told = torch.randn(1, 77, 16)
    with torch.no_grad():
        expected, mine, without = (
            unet.eval()(x_t, t, encoder_hidden_states=told).sample
            for unet in (pipe.unet, tuned.unet, plain.unet)
        )
    assert torch.allclose(mine, expected, atol=1e-5)
    assert not torch.allclose(without, expected, atol=1e-3)


def test_weights_that_are_missing_or_of_another_model(whole, adapter, tmp_path):
    _, folder = adapter("one", 2, 2, ["to_q"])
    with pytest.raises(InputError, match=r"`lora`.*nowhere"):
        load(whole / "text", lora=str(tmp_path / "nowhere"))
    (file,) = folder.glob("*.safetensors")
    save_file({f"other.{k}": v for k, v in load_file(file).items()}, tmp_path / "other.safetensors")
    other = str(tmp_path / "other.safetensors")
    for lora in (other, {str(folder): 1.0, other: 0.5}):
        with pytest.raises(InputError, match=r"`lora`.*other\.safetensors"):
            load(whole / "text", lora=lora)


@pytest.mark.parametrize("layout", ["diffusers", "kohya"])
@pytest.mark.parametrize("quiet", [False, True])
def test_weights_of_another_model_that_belong_in_part(whole, adapter, tmp_path, layout, quiet):
    """Also where diffusers' log, the only place in which it says so, is turned off."""
    _, folder = adapter("one", 2, 2, ["to_q"])
    (file,) = folder.glob("*.safetensors")
    weights = load_file(file)
    if layout == "kohya":
        weights = {in_kohya_layout(key): value for key, value in weights.items()}
    path, other = tmp_path / "whole.safetensors", tmp_path / "part.safetensors"
    save_file(weights, path)
    save_file(
        weights | {re.sub(r"(blocks.)\d", r"\g<1>7", k): v.clone() for k, v in weights.items()},
        other,
    )
    level = diffusers.logging.get_verbosity()
    if quiet:
        diffusers.logging.set_verbosity_error()
    try:
        load(whole / "text", lora=str(path))
        with pytest.raises(InputError, match=r"`lora`.*in part alone.*blocks\.7"):
            load(whole / "text", lora=str(other))
        assert quiet == (diffusers.logging.get_verbosity() > level)
    finally:
        diffusers.logging.set_verbosity(level)


def in_kohya_layout(key):
    name, part = key.removeprefix("unet.").rsplit(".lora_", 1)
    side = {"A.weight": "down", "B.weight": "up"}[part]
    return f"lora_unet_{name.replace('.', '_')}.lora_{side}.weight"


@pytest.mark.parametrize("lora", [{}, {"a": "much"}, {"a": float("nan")}, {"a": True}])
def test_weights_of_adapters_that_are_none(whole, lora):
    with pytest.raises(InputError, match="`lora`"):
        load(whole / "text", lora=lora)


def test_a_family_that_takes_none(whole):
    for refused in (load, DiTDenoiser.from_pretrained):
        with pytest.raises(InputError, match=r"`lora`.*DiTPipeline"):
            refused(whole / "dit", lora="anything")


def test_the_command_line_takes_several_by_their_weights(diffclf, adapter, whole):
    _, first = adapter("first", 2, 3, ["to_q"])
    test = ["test", "--config=digits_text", f"--denoiser={whole / 'text'}", "--dry-run"]
    diffclf(*test, f"--model.denoiser.lora={{{first}: 0.7}}")
    refused = diffclf(*test, f"--model.denoiser.lora={{{first}: 0.7, gone: 0.3}}", code=2)
    assert "'gone' does not load" in refused.stderr


@pytest.mark.parametrize("kind", [StableDiffusionPipeline, FluxPipeline])
def test_adapters_of_text_encoders_too(kind, tmp_path, seed, monkeypatch):
    """What the text encoder says is what it says in the pipeline with its adapter."""
    # transformers asks for a release of peft that may not be installed
    monkeypatch.setattr("transformers.integrations.peft.check_peft_version", lambda **_: None)
    flux = kind is FluxPipeline
    pipe = test_flux.pipeline(True) if flux else tiny.stable_diffusion_pipeline("epsilon")
    pipe.save_pretrained(tmp_path / "plain")
    places = ["q_proj", "v_proj"]
    config = LoraConfig(r=2, lora_alpha=2, target_modules=places, init_lora_weights=False)
    pipe.text_encoder.add_adapter(config)
    layers = get_peft_model_state_dict(pipe.text_encoder)
    kind.save_lora_weights(tmp_path / "lora", text_encoder_lora_layers=layers)
    tokens = pipe.tokenizer(["a cat"], padding="max_length", return_tensors="pt").input_ids
    options = {"image_size": 16} if flux else {}
    plain = load(tmp_path / "plain", **options)
    tuned = load(tmp_path / "plain", lora=str(tmp_path / "lora"), **options)
    with torch.no_grad():
        expected, without, found = (
            encoder(tokens).pooler_output
            for encoder in (pipe.text_encoder, plain.text_encoder, tuned.text_encoder)
        )
    assert torch.allclose(found, expected, atol=1e-5)
    assert (without - expected).abs().max() > 0.1
    (file,) = (tmp_path / "lora").glob("*.safetensors")
    weights = load_file(file)
    strange = {k.replace("layers.1", "layers.7"): v.clone() for k, v in weights.items()}
    save_file(weights | strange, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match=r"`lora`.*in part alone.*layers\.7"):
        load(tmp_path / "plain", lora=str(tmp_path / "part.safetensors"), **options)
