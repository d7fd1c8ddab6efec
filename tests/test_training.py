"""Training: the loss, label dropout, averaged weights and export."""

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    AutoDenoiser,
    Candidates,
    DenoiserTraining,
    DiffusionClassifier,
    Full,
    InputError,
)
from diffclf_lightning.callbacks import ExportDenoiser
from diffclf_lightning.denoisers import DiTDenoiser, FlowMatching, GaussianDenoiser
from diffclf_lightning.denoisers.scratch import dit


@pytest.fixture
def denoiser(seed):
    from diffusers import DDPMScheduler

    network = dit(sample_size=4, in_channels=1, num_classes=3, num_layers=2)
    return DiTDenoiser(network, DDPMScheduler(beta_schedule="squaredcos_cap_v2"))


@pytest.fixture
def data(seed):
    labels = torch.arange(3).repeat(20)
    images = torch.rand(3, 1, 4, 4)[labels]
    return DataLoader(TensorDataset(images, labels), batch_size=20)


def test_new_transformer_starts_as_the_identity_and_predicts_zero(denoiser):
    x_t = torch.randn(2, 1, 4, 4)
    told = {"class_labels": torch.tensor([0, 3])}
    assert denoiser(x_t, torch.tensor([3, 900]), told).abs().max() == 0


def run(denoiser, data, steps, callbacks=(), **kwargs):
    classifier = DenoiserTraining(
        denoiser,
        optimizer=lambda p: torch.optim.AdamW(p, lr=3e-3),
        validation_strategy=Full(3),
        **kwargs,
    )
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )
    trainer.fit(classifier, data, data)
    return classifier, trainer


def test_loss_of_an_untrained_network_is_one_and_falls(denoiser, data):
    """A network that predicts zero has the variance of the noise as its loss."""
    _, trainer = run(denoiser, data, 1)
    assert trainer.logged_metrics["train/loss"].item() == pytest.approx(1, abs=0.15)
    _, trainer = run(denoiser, data, 150)
    assert trainer.logged_metrics["train/loss"].item() < 0.6


def test_dropped_labels_train_the_null_row(denoiser, data):
    def rows(model):
        return model.model.transformer_blocks[0].norm1.emb.class_embedder.embedding_table.weight

    before = rows(denoiser).detach().clone()
    run(denoiser, data, 6, label_dropout=0.5)
    moved = (rows(denoiser) - before).abs().sum(dim=1)
    assert (moved > 1e-3).all()


def test_without_dropout_the_null_row_gets_no_gradient(denoiser, data):
    classifier = DenoiserTraining(denoiser, label_dropout=0.0)
    Trainer(accelerator="cpu", max_steps=0, logger=False, enable_checkpointing=False).fit(
        classifier, data
    )
    batch = next(iter(data))
    torch.nn.init.normal_(denoiser.model.proj_out_2.weight)
    torch.nn.init.normal_(denoiser.model.proj_out_1.weight)
    classifier.log = lambda *args, **kwargs: None
    classifier.training_step(batch, 0).backward()
    gradient = denoiser.model.transformer_blocks[0].norm1.emb.class_embedder.embedding_table
    assert gradient.weight.grad[:3].abs().sum() > 0
    assert gradient.weight.grad[3].abs().sum() == 0


def test_averaged_weights_are_exported(denoiser, data, tmp_path):
    averaging = EMAWeightAveraging(decay=0.5)
    export = ExportDenoiser(tmp_path / "model")
    run(denoiser, data, 5, [averaging, export])
    loaded = AutoDenoiser.from_pretrained(str(tmp_path / "model"))
    average = averaging._average_model.module.denoiser.state_dict()
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, average[name]), name


@pytest.mark.parametrize("wrong", [3, -1])
def test_labels_outside_the_candidates_are_named(denoiser, data, wrong):
    images, labels = data.dataset.tensors
    labels = labels + (1 if wrong == 3 else -1)
    number = labels.tolist().index(wrong)
    wrong_ones = DataLoader(TensorDataset(images, labels), batch_size=20)
    classifier = DenoiserTraining(denoiser)
    trainer = Trainer(accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False)
    match = rf"set 'train'.*but got {wrong} for image number {number} of its batch"
    with pytest.raises(InputError, match=match):
        trainer.fit(classifier, wrong_ones)


def test_unreadable_images_are_left_out(denoiser, data):
    images, labels = data.dataset.tensors
    samples = [
        {"image": image * (1 if label != 1 else torch.nan), "label": label, "readable": label != 1}
        for image, label in zip(images, labels, strict=True)
    ]
    _, trainer = run(denoiser, DataLoader(samples, batch_size=20), 2)
    assert trainer.logged_metrics["train/loss"].isfinite()


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none_is_named(denoiser, share):
    with pytest.raises(InputError, match="`label_dropout`"):
        DenoiserTraining(denoiser, label_dropout=share)


def test_a_checkpoint_of_training_is_one_of_the_classifier(denoiser, data, tmp_path):
    """Loaded by either class, its answers are those of the trained model."""
    trained, trainer = run(denoiser, data, 3)
    file = tmp_path / "trained.ckpt"
    trainer.save_checkpoint(file)
    plain = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    (expected,) = Trainer(**plain).validate(trained, data, verbose=False)
    for module in (DenoiserTraining, DiffusionClassifier):
        fresh = DiTDenoiser(
            dit(sample_size=4, in_channels=1, num_classes=3, num_layers=2),
            trained.denoiser.schedule.scheduler,
        )
        loaded = module.load_from_checkpoint(
            file, denoiser=fresh, validation_strategy=Full(3), weights_only=True
        )
        assert type(loaded) is module
        (logged,) = Trainer(**plain).validate(loaded, data, verbose=False)
        assert logged["val/loss"] == pytest.approx(expected["val/loss"], rel=1e-6)


def test_loss_is_that_of_the_networks_own_target(data, seed):
    """A flow network that says nothing has the variance of noise - x_0 as its loss."""
    model = GaussianDenoiser(torch.zeros(3, 1, 4, 4), schedule=FlowMatching())
    model.forward = lambda x_t, timestep, conditioning: 0 * x_t * parameter
    parameter = torch.nn.Parameter(torch.ones(()))
    model.register_parameter("parameter", parameter)
    images, labels = (tensor.repeat_interleave(40, dim=0) for tensor in data.dataset.tensors)
    many = DataLoader(TensorDataset(images, labels), batch_size=2400)
    _, trainer = run(model, many, 1, label_dropout=0.0)
    expected = 1 + (images * 2 - 1).square().mean().item()
    assert trainer.logged_metrics["train/loss"].item() == pytest.approx(expected, rel=0.05)


def test_a_batch_in_which_nothing_could_be_read_moves_nothing(denoiser, data):
    images, labels = data.dataset.tensors
    samples = [
        {"image": image * torch.nan, "label": label, "readable": False}
        for image, label in zip(images, labels, strict=True)
    ]
    before = [p.detach().clone() for p in denoiser.parameters()]
    classifier = DenoiserTraining(denoiser, optimizer=lambda p: torch.optim.SGD(p, lr=1.0))
    plain = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    Trainer(max_steps=2, **plain).fit(classifier, DataLoader(samples, batch_size=20))
    for old, new in zip(before, denoiser.parameters(), strict=True):
        assert torch.equal(old, new)


def test_another_number_of_classes_may_be_trained_afterwards(denoiser, data):
    """Labels are checked against the candidates of the run."""
    classifier = DenoiserTraining(denoiser, candidates=Candidates([0, 1], [0, 1]))
    images, labels = data.dataset.tensors
    few = DataLoader(TensorDataset(images[labels < 2], labels[labels < 2]), batch_size=20)
    plain = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    Trainer(max_steps=1, **plain).fit(classifier, few)
    classifier.candidates = Candidates([0, 1, 2], [0, 1, 2])
    Trainer(max_steps=1, **plain).fit(classifier, data)


def test_a_model_without_nothing_said_is_named(data, seed):
    model = GaussianDenoiser(torch.zeros(3, 1, 4, 4))
    model.means.requires_grad_(True)
    with pytest.raises(InputError, match="`label_dropout`"):
        run(model, data, 1)
