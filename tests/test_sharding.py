"""Strategies that share one model among processes are refused before the first image."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies import (
    DDPStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    SingleDeviceStrategy,
)

from diffclf_lightning import DiffusionClassifier, InputError
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.sharding import refuse_sharding


@pytest.mark.parametrize("strategy", [FSDPStrategy(), ModelParallelStrategy()])
def test_shared_weights_are_refused_with_the_remedy(strategy):
    with pytest.raises(InputError, match=rf"{type(strategy).__name__}.*device_map"):
        refuse_sharding(strategy)


@pytest.mark.parametrize("strategy", [DDPStrategy(), SingleDeviceStrategy()])
def test_whole_models_are_not(strategy):
    assert refuse_sharding(strategy) is None


def test_a_run_is_refused_before_its_sets_are_prepared():
    classifier = DiffusionClassifier(GaussianDenoiser(torch.zeros(2, 1, 4, 4), std=0.2))
    classifier._trainer = SimpleNamespace(strategy=FSDPStrategy(), test_dataloaders=None)
    with pytest.raises(InputError, match=r"--trainer\.strategy.*FSDPStrategy"):
        classifier.on_test_start()
