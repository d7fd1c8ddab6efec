"""The configurations of Table 1: exact strategies, and real runs on tiny data and a tiny model."""

import json
import random
from importlib import import_module

import pytest
import tiny
import tiny_sets
import yaml
from torchvision import datasets

from diffclf_lightning import Staged
from diffclf_lightning.cli import main
from diffclf_lightning.configurations import CONFIGS

# Name: candidates, keep, trials, loss, evaluations an image, metric (Table 6 and Appendix).
TABLE_6 = {
    "food101": (101, [20, 10, 5, 1], [20, 50, 100, 500], "l2", 5120, "accuracy"),
    "cifar10": (10, [5, 1], [50, 500], "l1", 2750, "accuracy"),
    "aircraft": (100, [20, 10, 5, 1], [20, 50, 100, 500], "l2", 5100, "mean_per_class_accuracy"),
    "pets": (37, [5, 1], [25, 250], "l1", 2050, "mean_per_class_accuracy"),
    "flowers102": (102, [20, 10, 5, 1], [20, 50, 100, 500], "l1", 5140, "mean_per_class_accuracy"),
    "stl10": (10, [5, 1], [100, 500], "l1", 3000, "accuracy"),
    "imagenet": (1000, [500, 50, 10, 1], [50, 100, 500, 1000], "l2", 100_000, "accuracy"),
    "objectnet": (113, [25, 10, 5, 1], [50, 100, 500, 1000], "l2", 13_400, "accuracy"),
}
TEMPLATES = {
    "food101": "a photo of {}, a type of food.",
    "cifar10": "a blurry photo of a {}.",
    "aircraft": "a photo of a {}, a type of aircraft.",
    "pets": "a photo of a {}, a type of pet.",
    "flowers102": "a photo of a {}, a type of flower.",
}
WRITERS = {"imagenet": "imagenet_folders"}


def test_there_is_a_configuration_for_each_row():
    assert {file.stem for file in (CONFIGS / "zero_shot").glob("*.yaml")} == set(TABLE_6)


@pytest.mark.parametrize("name", TABLE_6)
def test_configuration_is_the_published_row(name):
    candidates, keep, trials, loss, evaluations, metric = TABLE_6[name]
    config = yaml.safe_load((CONFIGS / f"zero_shot/{name}.yaml").read_text())
    model, data = config["model"]["init_args"], config["data"]
    assert model["strategy"]["init_args"] == {"trials": trials, "keep": keep}
    assert model["loss"] == loss
    assert model["template"] == TEMPLATES.get(name, "a photo of a {}.")
    assert Staged(trials, keep).evaluations(candidates) == evaluations
    module, _, class_name = data["class_path"].rpartition(".")
    data_module = getattr(import_module(module), class_name)
    assert data_module.metric == metric
    assert len(data_module("nowhere").classnames) == candidates
    assert model["denoiser"]["init_args"] == {
        "pretrained_model_name_or_path": "stabilityai/stable-diffusion-2-base"
    }


@pytest.mark.parametrize("name", TABLE_6)
def test_row_runs_on_tiny_data_and_a_tiny_model(name, tmp_path, monkeypatch, capfd, seed):
    written = tiny_sets.WRITERS[WRITERS.get(name, name)](tmp_path / "data", random.Random(seed))
    for dataset, attribute, value in written.patches:
        monkeypatch.setattr(getattr(datasets, dataset), attribute, value)
    tiny.stable_diffusion_pipeline("epsilon").save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    candidates = TABLE_6[name][0]
    main([
        "test", "--config", f"zero_shot/{name}", "--results.folder=r",
        "--model.denoiser.pretrained_model_name_or_path=model",
        "--model.denoiser.image_size=16",
        "--model.strategy.trials=[1,2]", "--model.strategy.keep=[3,1]",
        "--data.num_workers=0", "--trainer.limit_test_batches=1", "--trainer.accelerator=cpu",
    ])  # fmt: skip
    report = json.loads((tmp_path / "r/summary.json").read_text())["sets"][name]
    assert report["total"] == min(8, len(written.truth))
    assert report["evaluations_per_image"] == candidates + 3
    assert report["metric"] == TABLE_6[name][-1]
    run = json.loads((tmp_path / "r/run.json").read_text())
    assert len(run["candidates"]) == candidates
    names = written.module("nowhere").classnames
    template = TEMPLATES.get(name, "a photo of a {}.")
    assert run["candidates"] == [template.format(classname) for classname in names]
    assert ("*" in capfd.readouterr().out) == (TABLE_6[name][-1] != "accuracy")


def test_names_that_do_not_fit_the_labels_are_refused(tmp_path, monkeypatch, capfd, seed):
    tiny.stable_diffusion_pipeline("epsilon").save_pretrained(tmp_path / "model")
    tiny_sets.pets(tmp_path / "data", random.Random(seed))
    monkeypatch.chdir(tmp_path)
    names = json.dumps([f"breed {i}" for i in range(36)])
    with pytest.raises(SystemExit):
        main([
            "test", "--config", "zero_shot/pets", f"--model.classnames={names}",
            "--model.denoiser.pretrained_model_name_or_path=model",
            "--model.denoiser.image_size=16", "--data.num_workers=0",
        ])  # fmt: skip
    message = capfd.readouterr().err
    assert "diffclf: error: Expected" in message
    assert "36" in message
    assert "evaluations" not in message
