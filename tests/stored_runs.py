"""Runs of closed-form classifiers whose rows are stored."""

import pyarrow.parquet as pq
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.denoisers import GaussianDenoiser


def gaussians():
    """Three classes, far apart."""
    return GaussianDenoiser(torch.rand(3, 1, 4, 4) * 1.6 - 0.8, std=0.2)


def their_means(denoiser):
    """Four images of each class: its mean."""
    labels = torch.arange(3).repeat(4)
    images = (denoiser.means.detach()[labels] + 1) / 2
    return TensorDataset(images, labels)


def run(classifier, data, folder=None, errors=False, **kwargs):
    writer = [ResultsWriter(folder, errors=errors)] if folder else []
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=writer)
    trainer.test(classifier, DataLoader(data, batch_size=5, **kwargs), verbose=False)
    return classifier.reports["test"]


def rows(folder):
    return pq.read_table(folder / "images.parquet").to_pylist()
