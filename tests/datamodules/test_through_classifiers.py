"""Samples of the data modules, as classifiers take them."""

import warnings

import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image

from diffclf_lightning import AutoDenoiser, DenoiserTraining, DiffusionClassifier, Full
from diffclf_lightning.datamodules import Digits, ImageFolder
from diffclf_lightning.denoisers import GaussianDenoiser


def trainer(**kwargs):
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **kwargs,
    )


@pytest.fixture
def embedded():
    return AutoDenoiser.from_pretrained("diffclf/digits-dit")


@pytest.mark.parametrize("batch_size", [5, 3])
def test_keys_of_digits_are_their_positions_in_the_file(embedded, batch_size):
    classifier = DiffusionClassifier(embedded, Full(1))
    data = Digits(["digits", "noise_0.25"], num_test=5, batch_size=batch_size)
    found = [p for batches in trainer().predict(classifier, data) for p in batches]
    expected = [str(i) for i in range(1297, 1302)]
    for name in data.names:
        assert [key for p in found if p.set_name == name for key in p.keys] == expected
    trainer().test(classifier, data, verbose=False)
    assert classifier.reports["digits"].total == 5


def test_a_denoiser_is_trained_on_the_batches_of_digits(embedded, seed):
    training = DenoiserTraining(embedded)
    before = [p.clone() for p in embedded.parameters()]
    data = Digits(num_train=64, batch_size=32)
    fitting = trainer(max_steps=2, limit_val_batches=0)
    fitting.fit(training, data)
    assert fitting.global_step == 2
    assert fitting.callback_metrics["train/loss"].isfinite()
    assert any(not torch.equal(a, b) for a, b in zip(before, embedded.parameters(), strict=True))


def test_an_unreadable_image_is_counted_apart(tmp_path):
    colours = {"black": 0, "white": 255}
    for name, level in colours.items():
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / name / f"{i}.png")
    (tmp_path / "black/0.png").write_bytes(b"no image")
    means = torch.stack([torch.full((3, 8, 8), level) for level in (-1.0, 1.0)])
    classifier = DiffusionClassifier(GaussianDenoiser(means, std=0.1), Full(2))
    data = ImageFolder(tmp_path, batch_size=3, on_corrupt="skip")
    with warnings.catch_warnings(action="ignore"):
        [first, second] = trainer().predict(classifier, data)
        trainer().test(classifier, data, verbose=False)
    assert [*first.keys, *second.keys] == ["black/1.png", "white/0.png", "white/1.png"]
    report = classifier.reports["folder"]
    assert (report.count.correct, report.total, report.skipped) == (3, 3, 1)
