"""A closed-form model of six classes, images of them, and what a shortlist is made for."""

import pytest
import torch

from diffclf_lightning import Candidates
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.evaluation import GoldenGrid, NoiseBank, get_loss
from diffclf_lightning.shortlists import Choice

NAMES = ["ant", "bee", "cat", "dog", "elk", "fox"]
STD = 0.2


@pytest.fixture
def denoiser(seed):
    return GaussianDenoiser(torch.rand(len(NAMES), 1, 4, 4) * 1.6 - 0.8, std=STD)


@pytest.fixture
def labels():
    return torch.arange(len(NAMES)).repeat(2)


@pytest.fixture
def images(denoiser, labels):
    x_0 = denoiser.means.detach()[labels]
    return (((x_0 + STD * torch.randn_like(x_0)).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


@pytest.fixture
def choose():
    """What a shortlist is made for: some labels of a model, among named classes."""

    def choose(denoiser, candidates=None, names=NAMES, loss="l2"):
        chosen = candidates or Candidates.from_class_ids(len(NAMES))
        chosen = chosen if chosen.classnames else chosen.called(names)
        told = denoiser.condition(chosen.conditions)
        return Choice(denoiser, chosen, told, NoiseBank(0), get_loss(loss))

    return choose


@pytest.fixture
def ranked():
    """What a bound shortlist says of images: scores and evaluations."""

    def ranked(shortlist, images, allowed=None):
        choice = shortlist.choice
        x_0 = choice.denoiser.encode(images)
        shape = len(images), choice.conditioning.num_rows
        allowed = torch.ones(shape, dtype=torch.bool) if allowed is None else allowed
        return shortlist.scores(images, x_0, allowed, 7)

    return ranked


@pytest.fixture
def by_hand():
    """Mean l2 error of each image under a class mean, in plain loops from the formulas.

    ``x_t = alpha x_0 + sigma noise``; the best prediction of the noise is
    ``sigma (x_t - alpha mean) / (alpha^2 std^2 + sigma^2)``.
    """

    def by_hand(denoiser, x_0, mean, trials):
        generator = torch.Generator().manual_seed(0)
        at = denoiser.at(GoldenGrid().order((trials,))[0])
        total = torch.zeros(len(x_0))
        for alpha, sigma in zip(at.alpha, at.sigma, strict=True):
            noise = torch.randn(x_0.shape[1:], generator=generator)
            x_t = alpha * x_0 + sigma * noise
            said = sigma * (x_t - alpha * mean) / (alpha**2 * denoiser.std**2 + sigma**2)
            total += (said - noise).square().flatten(1).mean(dim=1)
        return total / trials

    return by_hand
