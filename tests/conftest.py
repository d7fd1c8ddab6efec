import os
import random

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def seed() -> int:
    """A fresh seed, printed so that a failure can be repeated with TEST_SEED."""
    value = int(os.environ.get("TEST_SEED", random.randrange(2**31)))
    print(f"TEST_SEED={value}")
    torch.manual_seed(value)
    return value
