"""The two supervised rows of Table 1 through the command line, on tiny models and images."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file
from tiny import stable_diffusion_pipeline

from diffclf_lightning.configurations import CONFIGS


@pytest.fixture
def photos(tmp_path, seed):
    random = np.random.default_rng(seed)
    for split, count in (("train", 6), ("test", 3)):
        for name in ("cat", "dog"):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def test_a_head_on_features_of_stable_diffusion(diffclf, tmp_path, photos):
    stable_diffusion_pipeline("epsilon").save_pretrained(tmp_path / "sd")
    here = ["--data.root=photos", "--data.batch_size=4", "--data.num_workers=0"]
    # On a CPU a tiny model of half precision proves nothing more, and takes longer.
    model = ["--denoiser=sd", "--model.denoiser.torch_dtype=float32", "--model.planes=8"]
    diffclf("fit", "--config", "baselines/sd_features", *here, *model, "--results.folder=f",
            "--trainer.max_epochs=2", "--trainer.accelerator=cpu")  # fmt: skip
    diffclf("test", "--config", "f/config.yaml", "--ckpt_path", "f/checkpoints/last.ckpt", *here,
            "--results.folder=t")  # fmt: skip
    summary = summary_of(tmp_path / "t")
    assert summary["sets"]["folder"]["total"] == 6
    features = summary["run"]["features"]
    assert (features["block"], features["timestep"]) == ("mid_block", 100)
    stored = {f.parent.name.split("-")[0]: f for f in tmp_path.glob("runs/*/*/*.safetensors")}
    assert stored.keys() == {"train", "val", "folder"}
    assert load_file(stored["folder"])["features"].shape == (6, 16, 4, 4)


def test_the_paper_s_features_are_those_of_its_configuration():
    model = yaml.safe_load((CONFIGS / "baselines/sd_features.yaml").read_text())["model"]
    given = model["init_args"]
    assert (given.get("block"), given["timestep"]) == (None, 100)
    assert given["denoiser"]["init_args"]["pretrained_model_name_or_path"] == (
        "stabilityai/stable-diffusion-2-base"
    )


def test_a_network_on_synthetic_images_is_tested_on_real_ones(diffclf, tmp_path):
    """Folders are in alphabetical order, labels of the real set are not: names match them."""
    diffclf("generate", "--config", "digits_text", "--out", "synthetic", "--images", "8",
            "--steps", "8", "--guidance", "1", "--batch-size", "80")  # fmt: skip
    small = ["--model.model=test_resnet", "--model.input_size=32", "--data.num_workers=0"]
    diffclf("fit", "--config", "baselines/synthetic", *small, "--data.batch_size=24",
            "--trainer.max_epochs=25", "--trainer.accelerator=cpu", "--data.augment=null",
            "--model.optimizer.lr=0.003", "--results.folder=f")  # fmt: skip
    diffclf("test", "--config", "f/config.yaml", "--ckpt_path", "f/checkpoints/last.ckpt",
            "--data", "Digits", "--data.num_test=100", "--results.folder=t")  # fmt: skip
    measured = summary_of(tmp_path / "t")["sets"]["digits"]
    assert measured["total"] == 100
    assert measured["correct"] > 50
