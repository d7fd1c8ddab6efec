import os
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from diffclf_lightning.cli import main

torch.set_num_threads(1)

# Helpers that write tiny models and data sets, shared by tests in other folders.
for helpers in (".", "datamodules", "denoisers", "evaluation", "figures", "reliability", "report"):
    sys.path.insert(0, str(Path(__file__).parent / helpers))


@pytest.fixture
def seed() -> int:
    """A fresh seed, printed so that a failure can be repeated with TEST_SEED."""
    value = int(os.environ.get("TEST_SEED", random.randrange(2**31)))
    print(f"TEST_SEED={value}")
    torch.manual_seed(value)
    return value


@dataclass
class Run:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def diffclf(tmp_path, monkeypatch, capfd):
    """Runs the command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*args, code=0):
        try:
            main([str(arg) for arg in args])
            returncode = 0
        except SystemExit as stop:
            returncode = stop.code
        out = Run(returncode, *capfd.readouterr())
        assert out.returncode == code, out.stderr
        return out

    return run
