"""Networks whose layers lie on several devices: here on the CPU and on the disk."""

import json

import pytest
import test_deepfloyd_if
import test_flux
import tiny_text
import torch
from folders import load
from PIL import Image

from diffclf_lightning import InputError
from diffclf_lightning.cli import main
from diffclf_lightning.weights import checksum

PARTS = (
    "pos_embed", "time_text_embed", "context_embedder", "x_embedder", "transformer_blocks",
    "single_transformer_blocks", "norm_out", "proj_out",
)  # fmt: skip
MAP = dict.fromkeys(PARTS, "cpu") | {"single_transformer_blocks": "disk"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("flux")
    test_flux.pipeline(True).save_pretrained(path)
    return path


@torch.no_grad()
def test_a_network_in_several_places_says_the_same(folder, seed):
    whole = load(folder, image_size=16)
    parted = load(folder, image_size=16, device_map=MAP).to("cpu")
    assert parted.transformer.single_transformer_blocks[0].proj_mlp.weight.is_meta
    assert parted.device == whole.device
    x_t, t = torch.randn(2, *whole.sample_shape), torch.tensor([0.2, 0.8])
    told = whole.condition([tiny_text.PROMPT, "a dog"])
    assert torch.allclose(parted(x_t, t, told), whole(x_t, t, told), atol=1e-6)
    assert checksum(parted) == checksum(whole)


def test_the_rest_moves(folder):
    parted = load(folder, image_size=16, device_map=MAP).to("meta")
    assert parted.vae.device.type == "meta"
    assert parted.transformer.x_embedder.weight.device.type == "cpu"


@torch.no_grad()
def test_a_model_of_pixels_whose_first_layer_lies_on_the_disk(tmp_path):
    test_deepfloyd_if.pipeline(tiny_text.t5(24)).save_pretrained(tmp_path)
    whole = load(tmp_path)
    places = {name: "cpu" for name, _ in whole.unet.named_children()} | {"conv_in": "disk"}
    parted = load(tmp_path, device_map=places)
    assert parted.device == whole.device
    x_t, t = torch.randn(2, *whole.sample_shape), torch.tensor([20, 800])
    told = parted.condition([tiny_text.PROMPT, "a dog"])
    assert torch.allclose(parted(x_t, t, told), whole(x_t, t, told), atol=1e-6)


@pytest.mark.parametrize("wrong", [{"other": "cpu"}, {"": "cuda:77"}])
def test_a_map_that_does_not_fit(folder, wrong):
    with pytest.raises(InputError, match="`device_map` to be one by which diffusers places"):
        load(folder, device_map=wrong)


def test_adapters_and_a_map(folder, tmp_path):
    with pytest.raises(InputError, match="no argument `lora` beside `device_map`"):
        load(folder, device_map=MAP, lora=str(tmp_path))


def test_a_file_and_a_map(folder, tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(InputError, match="`device_map`"):
        load(tmp_path / "model.safetensors", config=str(folder), device_map="auto")


def test_from_the_command_line_in_two_processes(folder, tmp_path):
    """Each process has the whole model, parted in the same way."""
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for place in range(2):
            Image.new("RGB", (40, 30 + place), "red").save(tmp_path / f"data/{name}/{place}.png")
    main(
        [
            "test", "--config", "folder_text", "--data.root", str(tmp_path / "data"),
            "--model.denoiser.pretrained_model_name_or_path", str(folder),
            "--model.denoiser.image_size", "16", "--model.denoiser.device_map", json.dumps(MAP),
            "--model.strategy", "Full", "--model.strategy.trials", "2",
            "--trainer.accelerator", "cpu", "--trainer.devices", "2",
            "--trainer.strategy", "ddp_fork", "--results.folder", str(tmp_path / "run"),
        ]
    )  # fmt: skip
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert next(iter(summary["sets"].values()))["total"] == 4
