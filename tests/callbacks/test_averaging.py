"""Averaged weights against an average by hand, and which weights are kept."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import DenoiserTraining, Full, InputError
from diffclf_lightning.callbacks import AveragedWeights
from diffclf_lightning.denoisers import NewDiT

NAMES = ["a", "b", "c"]


@pytest.fixture
def data(seed):
    labels = torch.arange(3).repeat(20)
    images = torch.rand(3, 1, 4, 4)[labels]
    return DataLoader(TensorDataset(images, labels), batch_size=20, shuffle=True)


class Recorder(Callback):
    """Keeps the raw weights after each step."""

    def __init__(self):
        self.weights = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.weights.append({k: v.clone() for k, v in pl_module.state_dict().items()})


def fit(data, averaging, steps, tmp_path=None, ckpt_path=None, lr=3e-3, callbacks=(), **trainer):
    torch.manual_seed(0)
    model = DenoiserTraining(
        NewDiT(size=4, channels=1, num_layers=1),
        classnames=NAMES,
        validation_strategy=Full(4),
        optimizer=lambda p: torch.optim.AdamW(p, lr=lr),
    )
    trainer = Trainer(
        accelerator="cpu", max_steps=steps, logger=False, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False, callbacks=[averaging, *callbacks],
        num_sanity_val_steps=0, check_val_every_n_epoch=None, val_check_interval=100, **trainer,
    )  # fmt: skip
    trainer.fit(model, data, DataLoader(data.dataset, batch_size=20), ckpt_path=ckpt_path)
    return model, trainer


def test_the_average_is_that_of_the_formula(data):
    recorder = Recorder()
    averaging = AveragedWeights(decay=0.3)
    fit(data, averaging, 6, callbacks=[recorder])
    average = recorder.weights[0]
    for update, raw in enumerate(recorder.weights[1:], start=1):
        decay = min(0.3, (1 + update) / (10 + update))
        average = {k: decay * v + (1 - decay) * raw[k] for k, v in average.items()}
    found = averaging._average_model.module.state_dict()
    for name, value in average.items():
        assert torch.allclose(found[name].float(), value.float(), atol=1e-6), name


def test_validation_measures_both_and_the_better_is_kept(data):
    """With a decay of one in effect, the average stays at the start: the raw weights are better."""
    averaging = AveragedWeights(decay=0.999)
    averaging._average = averaging._kwargs["multi_avg_fn"] = lambda *args: None
    model, trainer = fit(data, averaging, 150)
    metrics = trainer.callback_metrics
    assert averaging.kept == "raw"
    assert metrics["val/accuracy_raw"] > metrics["val/accuracy"] + 0.3
    plain = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    loader = DataLoader(data.dataset, batch_size=20)
    (logged,) = Trainer(**plain).validate(model, loader, verbose=False)
    assert logged["val/accuracy"] == pytest.approx(metrics["val/accuracy_raw"].item())
    assert averaging.said().startswith("raw, ")


def test_each_is_measured_on_its_own_weights(data):
    """What is logged for both is what a run of its own says of these weights."""
    recorder = Recorder()
    averaging = AveragedWeights(decay=0.9)
    model, trainer = fit(data, averaging, 20, callbacks=[recorder])
    plain = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    loader = DataLoader(data.dataset, batch_size=20)
    states = {
        "val/accuracy_raw": recorder.weights[-1],
        "val/accuracy": averaging._average_model.module.state_dict(),
    }
    for name, state in states.items():
        model.load_state_dict(state)
        (logged,) = Trainer(**plain).validate(model, loader, verbose=False)
        assert trainer.callback_metrics[name].item() == pytest.approx(logged["val/accuracy"])


def test_half_done_training_is_not_worse_than_its_raw_weights(data):
    averaging = AveragedWeights(decay=0.9999)
    fit(data, averaging, 60)
    assert averaging.accuracies[averaging.kept] >= averaging.accuracies["raw"]
    assert averaging.accuracies["averaged"] > averaging.accuracies["raw"] - 0.25


@pytest.mark.parametrize("kept", ["raw", "averaged"])
def test_a_checkpoint_holds_the_kept_weights_and_goes_on_from_both(data, tmp_path, kept):
    averaging = AveragedWeights(decay=0.9)
    recorder = Recorder()
    model, trainer = fit(data, averaging, 8, callbacks=[recorder])
    averaging.kept = kept
    average = {k: v.clone() for k, v in averaging._average_model.module.state_dict().items()}
    model.load_state_dict(recorder.weights[-1])
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    expected = average if kept == "averaged" else recorder.weights[-1]
    state = torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    again, on = AveragedWeights(decay=0.9), Start()
    fit(data, again, 9, ckpt_path=tmp_path / "a.ckpt", callbacks=[on])
    for name, value in average.items():
        assert torch.equal(on.averaged[name], value), name
        assert torch.equal(on.raw[name], recorder.weights[-1][name]), name


class Start(Callback):
    def on_train_start(self, trainer, pl_module):
        (averaging,) = (c for c in trainer.callbacks if isinstance(c, AveragedWeights))
        self.raw = {k: v.clone() for k, v in pl_module.state_dict().items()}
        module = averaging._average_model.module
        self.averaged = {k: v.clone() for k, v in module.state_dict().items()}


def test_without_validation_the_average_is_kept(data, tmp_path):
    averaging = AveragedWeights(decay=0.9)
    model, _ = fit(data, averaging, 5, limit_val_batches=0)
    found = averaging._average_model.module.state_dict()
    assert averaging.kept == "averaged"
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())
    assert "no validation" in averaging.said()


def test_checkpoints_within_training_hold_the_better_weights(data, tmp_path):
    averaging = AveragedWeights(decay=0.9)
    save = ModelCheckpoint(tmp_path, filename="last", enable_version_counter=False)
    torch.manual_seed(0)
    model = DenoiserTraining(
        NewDiT(size=4, channels=1, num_layers=1), classnames=NAMES, validation_strategy=Full(2)
    )
    trainer = Trainer(
        accelerator="cpu", max_steps=6, logger=False, enable_progress_bar=False,
        callbacks=[averaging, save], num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(model, data, DataLoader(data.dataset, batch_size=20))
    loaded = DenoiserTraining.load_from_checkpoint(tmp_path / "last.ckpt")
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


@pytest.mark.parametrize("averaging", [EMAWeightAveraging(decay=0.5), AveragedWeights(decay=0.5)])
def test_the_average_is_of_a_network_that_is_made_late(data, averaging):
    model, _ = fit(data, averaging, 3, limit_val_batches=0)
    average = averaging._average_model.module.state_dict()
    assert average.keys() == model.state_dict().keys()
    assert all(torch.equal(average[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_is_none_is_named(decay):
    with pytest.raises(InputError, match="`decay`"):
        AveragedWeights(decay)
