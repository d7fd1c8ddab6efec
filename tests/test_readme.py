"""The examples of the README run as they stand."""

import re
from pathlib import Path

import torch

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(examples) == 2
    torch.manual_seed(0)
    scope = {}
    # The same example on 20 images, so that the test is short.
    code = "\n".join(examples).replace("datamodule=Digits()", "datamodule=Digits(num_test=20)")
    assert "num_test=20" in code
    exec(code, scope)
    assert scope["classifier"].reports["test"].total == 20


def test_commands_name_shipped_configurations():
    from diffclf_lightning.cli import shipped_configs

    named = set(re.findall(r"--config ([a-z0-9_/]+)", README))
    assert len(named) > 4
    assert named <= set(shipped_configs())
