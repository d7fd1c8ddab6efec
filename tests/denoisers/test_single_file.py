"""Models of one file, loaded beside the folder of their pipeline."""

import json

import pytest
import test_flux
import test_stable_diffusion_3
import tiny
import torch
from folders import NETWORK, check_same_weights, load
from ldm_layout import in_ldm_layout, in_sd3_layout
from PIL import Image
from safetensors.torch import load_file, save_file

from diffclf_lightning import InputError
from diffclf_lightning.cli import main
from diffclf_lightning.denoisers import Flux, StableDiffusion, StableDiffusion3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("folder")
    tiny.stable_diffusion_pipeline("epsilon").save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def file(folder, tmp_path_factory):
    """All weights in the published layout, other than those of the folder."""
    pipe = tiny.stable_diffusion_pipeline("epsilon")
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        for weight in part.parameters():
            weight.data += 0.01
    path = tmp_path_factory.mktemp("file") / "model.safetensors"
    save_file(in_ldm_layout(pipe), path)
    return pipe, path


def test_all_weights_of_the_file_are_taken(folder, file):
    pipe, path = file
    model = load(path, config=str(folder), image_size=24)
    assert type(model) is StableDiffusion
    assert model.image_shape == (3, 24, 24)
    check_same_weights(model.unet, pipe.unet)
    check_same_weights(model.vae.encoder, pipe.vae.encoder)
    assert torch.equal(model.vae.quant_conv.weight, pipe.vae.quant_conv.weight)
    first, second = model.text_encoder.state_dict(), pipe.text_encoder.state_dict()
    for name, weight in second.items():
        assert torch.equal(first[name], weight), name


def test_what_the_file_lacks_is_that_of_the_folder(folder, file, tmp_path):
    pipe, _ = file
    alone = {k: v for k, v in in_ldm_layout(pipe).items() if k.startswith("model.")}
    save_file(alone, tmp_path / "unet.safetensors")
    model, whole = load(tmp_path / "unet.safetensors", config=str(folder)), load(folder)
    check_same_weights(model.unet, pipe.unet)
    check_same_weights(model.vae, whole.vae)
    check_same_weights(model.text_encoder, whole.text_encoder)


def test_a_flux_transformer_in_the_layout_of_diffusers(tmp_path):
    test_flux.pipeline(True).save_pretrained(tmp_path / "flux")
    weights = load_file(tmp_path / "flux" / "transformer" / NETWORK)
    other = {name: value + 1 for name, value in weights.items()}
    save_file(other, tmp_path / "tuned.safetensors")
    model = load(tmp_path / "tuned.safetensors", config=str(tmp_path / "flux"), image_size=16)
    assert type(model) is Flux
    for name, value in model.transformer.state_dict().items():
        assert torch.equal(value, other[name])


@pytest.mark.parametrize("held", [("clip_l", "clip_g"), ("clip_g",)])
def test_text_encoders_are_of_the_file_or_of_the_folder_one_by_one(tmp_path, held):
    """Files of Stable Diffusion 3 are published with its CLIPs, and without T5."""
    pipe = test_stable_diffusion_3.pipeline()
    pipe.save_pretrained(tmp_path / "sd3")
    names = {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl"}
    weights = in_sd3_layout(pipe.transformer)
    for part, name in names.items():
        if name in held:
            for key, value in getattr(pipe, part).state_dict().items():
                weights[f"text_encoders.{name}.transformer.{key}"] = value.clone() + 0.01
    save_file(weights, tmp_path / "sd3.safetensors")
    model = load(tmp_path / "sd3.safetensors", config=str(tmp_path / "sd3"), image_size=16)
    assert type(model) is StableDiffusion3
    check_same_weights(model.transformer, pipe.transformer)
    for part, name in names.items():
        found, before = (
            encoder.state_dict() for encoder in (getattr(model, part), getattr(pipe, part))
        )
        assert found.keys() == before.keys()
        for key, weight in before.items():
            if (name, key) != ("clip_l", "text_projection.weight"):  # diffusers' is the identity
                assert torch.equal(found[key], weight + 0.01 if name in held else weight), key


def test_lora_given_as_the_model(folder, tmp_path):
    path = tmp_path / "style.safetensors"
    for key in ("lora_unet_mid.lora_down.weight", "unet.mid.attn1.to_q.lora_A.weight"):
        save_file({key: torch.zeros(2, 2)}, path)
        for config in (str(folder), None):
            with pytest.raises(InputError, match=r"holds LoRA weights.*argument `lora`"):
                load(path, config=config, local_files_only=True)


def test_the_folder_of_another_family(tmp_path):
    """The reason is not what befell diffusers' conversion."""
    test_flux.pipeline(True).save_pretrained(tmp_path / "flux")
    test_stable_diffusion_3.pipeline().save_pretrained(tmp_path / "sd3")
    save_file(load_file(tmp_path / "flux" / "transformer" / NETWORK), tmp_path / "flux.safetensors")
    with pytest.raises(InputError, match="not those of a StableDiffusion3Pipeline, or some are"):
        load(tmp_path / "flux.safetensors", config=str(tmp_path / "sd3"))


@pytest.mark.parametrize("broken", ["missing", "cut", "text"])
def test_a_file_that_is_not_whole(folder, file, tmp_path, broken):
    path = tmp_path / "model.safetensors"
    weights = load_file(file[1])
    if broken == "missing":
        weights.pop("model.diffusion_model.out.2.weight")
        save_file(weights, path)
    else:
        whole = file[1].read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if broken == "cut" else b"hello")
    with pytest.raises(InputError, match=r"`pretrained_model_name_or_path`.*model.safetensors"):
        load(path, config=str(folder))


def test_a_pickle_with_code_runs_nothing(folder, tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": Hostile()}, tmp_path / "model.ckpt")
    with pytest.raises(InputError, match="does not load"):
        load(tmp_path / "model.ckpt", config=str(folder))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"variant": "fp16"}, "no argument `variant`"),
        ({"quantization_config": {"quant_backend": "x"}}, "no argument `quantization_config`"),
    ],
)
def test_arguments_of_folders_alone(folder, file, arguments, said):
    with pytest.raises(InputError, match=said):
        load(file[1], config=str(folder), **arguments)


def test_config_is_for_files(folder):
    with pytest.raises(InputError, match="no argument `config`"):
        load(folder, config=str(folder))


def test_a_family_that_diffusers_does_not_load_from_one_file(file, tmp_path):
    tiny.dit_with_vae().save_pretrained(tmp_path / "dit")
    with pytest.raises(InputError, match="DiTPipeline, which diffusers does not load from one"):
        load(file[1], config=str(tmp_path / "dit"))


def test_from_the_command_line(folder, file, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", (40, 30), "red").save(tmp_path / "data" / name / "red.png")
    main(
        [
            "test", "--config", "folder_text", "--data.root", str(tmp_path / "data"),
            "--model.denoiser.pretrained_model_name_or_path", str(file[1]),
            "--model.denoiser.config", str(folder), "--model.denoiser.image_size", "16",
            "--model.strategy", "Full", "--model.strategy.trials", "2",
            "--trainer.accelerator", "cpu", "--results.folder", str(tmp_path / "run"),
        ]
    )  # fmt: skip
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert next(iter(summary["sets"].values()))["total"] == 2
