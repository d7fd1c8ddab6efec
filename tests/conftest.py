import os
import random
import sys
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

# Helpers that write tiny models and data sets, shared by tests in other folders.
for helpers in ("datamodules", "denoisers"):
    sys.path.insert(0, str(Path(__file__).parent / helpers))


@pytest.fixture
def seed() -> int:
    """A fresh seed, printed so that a failure can be repeated with TEST_SEED."""
    value = int(os.environ.get("TEST_SEED", random.randrange(2**31)))
    print(f"TEST_SEED={value}")
    torch.manual_seed(value)
    return value
