"""A closed-form model of six classes, and images of them."""

import pytest
import torch
from torch.utils.data import TensorDataset

from diffclf_lightning.denoisers import GaussianDenoiser

CLASSES = 6


@pytest.fixture
def denoiser(seed):
    return GaussianDenoiser(torch.rand(CLASSES, 1, 4, 4) * 1.6 - 0.8, std=0.2)


@pytest.fixture
def data(denoiser):
    labels = torch.arange(CLASSES).repeat(4)
    x_0 = denoiser.means.detach()[labels]
    x_0 = (x_0 + 0.2 * torch.randn_like(x_0)).clamp(-1, 1)
    return TensorDataset((x_0 + 1) / 2, labels)
