"""Training: the loss, label dropout, averaged weights and export."""

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import AutoDenoiser, DiffusionClassifier, Full, InputError
from diffclf_lightning.callbacks import ExportDenoiser
from diffclf_lightning.denoisers import DiTDenoiser
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
    assert denoiser(x_t, torch.tensor([3, 900]), torch.tensor([0, 3])).abs().max() == 0


def run(denoiser, data, steps, callbacks=(), **kwargs):
    classifier = DiffusionClassifier(
        denoiser,
        Full(5),
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
    classifier = DiffusionClassifier(denoiser, label_dropout=0.0)
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


def test_labels_outside_the_candidates_are_named(denoiser, data):
    images, labels = data.dataset.tensors
    wrong = DataLoader(TensorDataset(images, labels + 1), batch_size=20)
    classifier = DiffusionClassifier(denoiser, Full(5))
    trainer = Trainer(accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False)
    with pytest.raises(InputError, match=r"set 'train'.*but got 3"):
        trainer.fit(classifier, wrong)


def test_unreadable_images_are_left_out(denoiser, data):
    images, labels = data.dataset.tensors
    marked = DataLoader(TensorDataset(images, torch.where(labels == 1, -1, labels)), batch_size=20)
    _, trainer = run(denoiser, marked, 2)
    assert trainer.logged_metrics["train/loss"].isfinite()
