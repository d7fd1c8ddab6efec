"""What the README tells people to type."""

import ast
import re
from pathlib import Path

import diffclf_lightning
from diffclf_lightning import datamodules
from diffclf_lightning.configurations import find_config, shipped_configs

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_python_examples_name_what_there_is():
    examples = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert examples
    homes = {"diffclf_lightning": diffclf_lightning, "diffclf_lightning.datamodules": datamodules}
    named = 0
    for example in examples:
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom) and node.module in homes:
                for alias in node.names:
                    assert hasattr(homes[node.module], alias.name)
                    named += 1
    assert named >= 4


def test_commands_name_shipped_configurations():
    named = set(re.findall(r"--config ([a-z0-9_/]+)(?![\w./])", README))
    assert len(named) > 4
    assert named <= set(shipped_configs())
    assert all(Path(find_config(name)).is_file() for name in named)


def test_pages_that_it_links_to_exist():
    pages = re.findall(r"\]\(((?:docs/)?[\w./-]+\.(?:md|png|cff))\)", README)
    assert len(pages) > 6
    missing = [page for page in pages if not (Path(__file__).parents[1] / page).exists()]
    assert not missing
