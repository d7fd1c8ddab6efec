"""Strategies that share one model among processes are refused before the first image."""

import pytest
from lightning.pytorch.strategies import (
    DDPStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    SingleDeviceStrategy,
)

from diffclf_lightning import InputError
from diffclf_lightning.sharding import refuse_sharding


@pytest.mark.parametrize("strategy", [FSDPStrategy(), ModelParallelStrategy()])
def test_shared_weights_are_refused_with_the_remedy(strategy):
    with pytest.raises(InputError, match=rf"{type(strategy).__name__}.*device_map"):
        refuse_sharding(strategy)


@pytest.mark.parametrize("strategy", [DDPStrategy(), SingleDeviceStrategy()])
def test_whole_models_are_not(strategy):
    refuse_sharding(strategy)
