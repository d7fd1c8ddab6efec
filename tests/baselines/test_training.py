"""Training a baseline from scratch, through the command line, and testing what came of it."""

import json

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import Candidates, InputError
from diffclf_lightning.baselines import TimmClassifier
from diffclf_lightning.cli import main
from diffclf_lightning.datamodules import Digits
from diffclf_lightning.robustness import read_models

SHORT = ["--data.test_sets=[digits,rotation_10]", "--data.num_test=100"]


def test_fit_and_test_on_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = ["--trainer.max_steps=80", "--model.lr_scheduler.total_steps=80"]
    main(["fit", "--config", "baselines/digits", *steps, "--trainer.limit_val_batches=2"])
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    main([
        "test", "--config", "baselines/digits", *SHORT, "--ckpt_path", str(checkpoint),
        "--results.folder=r",
    ])  # fmt: skip
    summary = json.loads((tmp_path / "r/summary.json").read_text())
    assert summary["sets"]["digits"]["correct"] > 60
    assert summary["sets"]["digits"]["evaluations_per_image"] == 1
    assert summary["run"]["model"] == "resnet10t"
    assert (tmp_path / "r/robustness.csv").read_text().count("rotation_10") == 1
    (model,) = read_models([str(tmp_path / "r")])
    assert (model.name, model.family) == ("r", "resnet10t")
    assert model.weights == summary["run"]["weights"]
    assert {name: len(images) for name, images in model.images.items()} == {
        "digits": 100, "rotation_10": 100,
    }  # fmt: skip


@pytest.fixture
def classifier(seed):
    return TimmClassifier(
        "test_vit", False, num_classes=3, input_size=32, model_args={"img_size": 32},
        label_smoothing=0.1,
    )  # fmt: skip


def test_loss_is_the_smoothed_cross_entropy(classifier):
    images, labels = torch.randint(256, (6, 3, 32, 32), dtype=torch.uint8), torch.arange(6) % 3
    could = torch.tensor([True, True, True, True, False, True])
    classifier._candidates = Candidates.from_class_ids(3)
    classifier.log = lambda *args, **kwargs: None
    batch = {"image": images, "label": labels, "readable": could}
    loss = classifier.eval().training_step(batch, 0)
    kept = [0, 1, 2, 3, 5]
    likelihood = classifier(images[kept]).log_softmax(dim=1)
    target = torch.full((5, 3), 0.1 / 3)
    target[range(5), labels[kept]] += 0.9
    assert loss.item() == pytest.approx(-(target * likelihood).sum(dim=1).mean().item(), rel=1e-5)


@pytest.mark.parametrize("wrong", [3, -1])
def test_labels_without_a_class_are_named(classifier, wrong):
    data = TensorDataset(torch.rand(2, 3, 32, 32), torch.tensor([0, wrong]))
    trainer = Trainer(accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False)
    with pytest.raises(InputError, match=rf"set 'train'.*but got {wrong} for image number 1"):
        trainer.fit(classifier, DataLoader(data, batch_size=2))


def test_fewer_training_images_are_spread_over_the_file():
    loader = Digits(num_train=10, batch_size=10, augment=0.0).train_dataloader()
    pixels, labels = loader.dataset.pixels, loader.dataset.labels
    whole = Digits(augment=0.0).train_dataloader().dataset
    places = [i * 1297 // 10 for i in range(10)]
    assert labels == [whole.labels[i] for i in places]
    assert all((pixels[i] == whole.pixels[place]).all() for i, place in enumerate(places))
    with pytest.raises(InputError, match="`num_train` to be from 1 to 1297, but got 1298"):
        Digits(num_train=1298)
