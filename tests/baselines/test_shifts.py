"""ImageNet and its shifts, read from disk, by a network whose logits are known."""

import json
import random
import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import tiny_shifts
import torch
import yaml
from diffusers import DDIMScheduler, DiTTransformer2DModel
from lightning.pytorch import Trainer
from PIL import Image, ImageOps
from torch import nn

from diffclf_lightning.baselines import torchvision as torchvision_module
from diffclf_lightning.baselines.discriminative import DiscriminativeClassifier, Preprocessing
from diffclf_lightning.cli import main
from diffclf_lightning.configurations import CONFIGS
from diffclf_lightning.datamodules import ImageNetShifts
from diffclf_lightning.denoisers import DiTDenoiser, ResizeCenterCrop


@pytest.fixture
def tinies(tmp_path, seed):
    return tiny_shifts.imagenet_and_shifts(tmp_path / "data", random.Random(seed))


class Linear(nn.Module):
    """Logits that are a fixed linear function of the first pixel: every image has one colour."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 1000, dtype=torch.float64), requires_grad=False)

    def forward(self, images):
        return images[:, :, 0, 0].double() @ self.weight


def first_pixel(data, name, key, tinies):
    folders = {
        "imagenetv2": "imagenetv2-matched-frequency-format-val", "imagenet_a": "imagenet-a",
        "imagenet_r": "imagenet-r", "imagenet_sketch": "sketch",
        "objectnet": "objectnet-1.0/images",
    }  # fmt: skip
    if name in folders:
        file = data / folders[name] / key
    else:
        (file,) = (data / "val").rglob(key)
    image = Image.open(file).convert("RGB")
    if name == "objectnet":
        image = ImageOps.crop(image, 2)
    return ResizeCenterCrop(8)(image).numpy()[:, 0, 0] / np.float32(255)


def test_accuracies_of_known_logits_are_exact(tinies, tmp_path):
    network = Linear()
    preprocessing = Preprocessing(ResizeCenterCrop(8), (3, 8, 8), [0.0] * 3, [1.0] * 3)
    classifier = DiscriminativeClassifier(network, preprocessing, "linear")
    data = ImageNetShifts(tmp_path / "data", ["all"], subset=None)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with warnings.catch_warnings(action="ignore"):
        trainer.test(classifier, datamodule=data, verbose=False)
    weight = network.weight.numpy()
    assert list(classifier.reports) == tiny_shifts.NAMES
    ways = []
    for name, report in classifier.reports.items():
        own = tiny_shifts.candidates(tinies, name)
        groups = [(c,) if isinstance(c, int) else c for c in (range(1000) if own is None else own)]
        correct = 0
        truth = tiny_shifts.truth(tinies, name)
        for key, (label, _) in truth.items():
            logits = first_pixel(tmp_path / "data", name, key, tinies) @ weight
            best = max(groups, key=lambda group, logits=logits: max(logits[i] for i in group))
            correct += min(best) == label
        assert (report.correct, report.total) == (correct, len(truth)), name
        ways.append(len(groups))
    assert ways == [1000, 1000, 200, 200, 200, 200, 1000, 113, 113]


def dit_folder(folder):
    torch.manual_seed(0)
    network = DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=1,
        sample_size=8, num_embeds_ada_norm=1000,
    )  # fmt: skip
    DiTDenoiser(network, DDIMScheduler(beta_schedule="linear"), tiny.autoencoder()).save_pretrained(
        folder
    )


def run(config, *args):
    data = ["--data.root=data", "--data.num_workers=0"]
    with warnings.catch_warnings(action="ignore"):
        main(["test", "--config", config, *data, *args, "--trainer.accelerator=cpu"])


@pytest.mark.parametrize("name", ["dit256", "dit512"])
def test_diffusion_and_baseline_see_the_same_images_in_the_same_order(
    name, tinies, tmp_path, monkeypatch, capfd
):
    """The shipped configurations, but for weights and the number of trials."""
    monkeypatch.chdir(tmp_path)
    dit_folder(tmp_path / "model")
    every = ["--data.test_sets=[all]", "--data.subset=20"]
    run(
        f"supervised/{name}", *every, "--results.folder=dit",
        "--model.denoiser.pretrained_model_name_or_path=model", "--model.strategy.trials=[1,2]",
        "--model.strategy.keep=[3,1]", "--model.evaluations_per_batch=4096",
    )  # fmt: skip
    printed = capfd.readouterr().out
    assert "l2+bound" in printed
    run(
        "baselines/resnet18",
        *every,
        "--results.folder=resnet",
        "--model.pretrained=false",
    )
    rows = [pq.read_table(f"{folder}/images.parquet").to_pylist() for folder in ("dit", "resnet")]
    for first, second in zip(*rows, strict=True):
        assert [first[k] for k in ("set", "key", "label")] == [
            second[k] for k in ("set", "key", "label")
        ]
        assert dict(first["other_predictions"]).keys() == {"l1", "bound", "l2+bound"}
    for folder, cost in (("dit", 1), ("resnet", 0)):
        summary = json.loads((tmp_path / folder / "summary.json").read_text())["sets"]
        assert list(summary) == tiny_shifts.NAMES
        for name, report in summary.items():
            own = tiny_shifts.candidates(tinies, name)
            assert report["total"] == min(
                len(tiny_shifts.truth(tinies, name)), 20 if name == "imagenet" else 10**9
            )
            assert json.dumps(report["candidate_labels"]) == json.dumps(own)
            ids = 1000 if own is None else sum(1 if isinstance(c, int) else len(c) for c in own)
            assert report["evaluations_per_image"] == (ids + 3 if cost else 1)


@pytest.mark.parametrize("name", ["dit256", "dit512"])
def test_default_costs_a_tenth_of_the_published_evaluation(name):
    from diffclf_lightning import Full, Staged

    model = yaml.safe_load((CONFIGS / f"supervised/{name}.yaml").read_text())["model"]["init_args"]
    staged = Staged(**model["strategy"]["init_args"])
    assert 10 * staged.evaluations(1000) <= Full(250).evaluations(1000)
    assert staged.stages[-1] == 250
    staged.bind(125, staged.stages)
    assert f"facebook/DiT-XL-2-{name[3:]}" in model["denoiser"]["init_args"].values()
    assert [model["loss"], *model["other_losses"]] == ["l2", "l1", "bound", "l2+bound"]


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_residual_baselines_are_those_of_the_paper(name):
    model = yaml.safe_load((CONFIGS / f"baselines/{name}.yaml").read_text())["model"]
    assert model["init_args"] == {"model": f"{name}.tv_in1k"}


@pytest.mark.parametrize("name", ["vit_b_16", "vit_l_16", "vit_l_32"])
def test_transformer_baselines_run_with_the_weights_of_the_paper(
    name, tinies, tmp_path, monkeypatch
):
    """The network itself is left out: it would take seconds and gigabytes to make."""
    asked = []

    def get_model(network, weights):
        asked.append((network, str(weights)))
        return nn.Sequential(nn.AvgPool2d(224), nn.Flatten(), nn.Linear(3, 1000))

    monkeypatch.setattr(torchvision_module.models, "get_model", get_model)
    monkeypatch.chdir(tmp_path)
    run(f"baselines/{name}", "--data.test_sets=[imagenet_a_id,imagenet_a]")
    proper = {"vit_b_16": "ViT_B_16", "vit_l_16": "ViT_L_16", "vit_l_32": "ViT_L_32"}[name]
    assert asked == [(name, f"{proper}_Weights.IMAGENET1K_V1")]
