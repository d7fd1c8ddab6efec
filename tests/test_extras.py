"""What a feature needs beyond the core is an extra, which names itself where it is missing."""

import ast
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import diffclf_lightning
from diffclf_lightning.datamodules import Digits

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORT_ALL = ROOT / "tests/import_all.py"
EXTRAS = runpy.run_path(str(IMPORT_ALL))["EXTRAS"]
DISTRIBUTIONS = {module: name for name, module in EXTRAS.items()}
FEW = ["--model.strategy.max_trials=3", "--data.num_test=10"]


def installed_by(*extras):
    """Names of the packages of extras, through those that name others."""
    names = set()
    for extra in extras:
        for line in PROJECT["optional-dependencies"][extra]:
            required = Requirement(line)
            own = canonicalize_name(required.name) == PROJECT["name"]
            names |= installed_by(*required.extras) if own else {canonicalize_name(required.name)}
    return names


def test_every_module_is_imported_without_extras():
    command = [sys.executable, IMPORT_ALL]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[0]) > 100


def test_what_is_imported_where_it_is_needed_comes_with_the_extra_that_is_named():
    seen = set()
    for file in Path(diffclf_lightning.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "needed":
                module, extra = (ast.literal_eval(argument) for argument in node.args)
                name = module.partition(".")[0]
                assert DISTRIBUTIONS[name] in installed_by(extra), f"{file}: {module}, {extra}"
                seen.add(name)
    assert seen == set(DISTRIBUTIONS)


def test_extras_of_the_metadata():
    extras = PROJECT["optional-dependencies"]
    assert installed_by("all") == set(EXTRAS) <= installed_by("dev")
    assert installed_by("demo") == installed_by("digits", "figures")
    core = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert not core & set(EXTRAS)
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "Makefile"]
    named = re.findall(
        r"(?:diffclf-lightning|'\.)\[([\w,-]+)\]", "".join(page.read_text() for page in pages)
    )
    assert (
        {"demo", "dev"} <= {name for several in named for name in several.split(",")} <= set(extras)
    )


@pytest.fixture
def without(monkeypatch):
    """Takes packages away, and the modules of them that are loaded."""

    def take(name):
        for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
            monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setitem(sys.modules, name, None)

    return take


@pytest.mark.parametrize(
    ("package", "extra", "args"),
    [
        ("sklearn", "digits", ["test", "--config", "digits"]),
        ("matplotlib", "figures", ["test", "--config", "digits"]),
        ("matplotlib", "digits", ["test", "--config", "digits_shifts"]),
        ("matplotlib", "figures", ["classify", "0.png", "--names=a,b", "--save-figure=f.png"]),
        ("matplotlib", "report", ["report", "nowhere"]),
        ("jinja2", "report", ["report", "nowhere"]),
        ("peft", "lora", ["test", "--config=digits_text", "--model.denoiser.lora=nowhere"]),
        ("peft", "lora", ["fit", "--config=digits_text_lora"]),
    ],
)
def test_a_missing_extra_names_itself_first(diffclf, tmp_path, without, package, extra, args):
    Digits().test_sets()["digits"].image(0).save(tmp_path / "0.png")
    without(package)
    run = diffclf(*args, code=2)
    assert repr(package) in run.stderr
    assert f"pip install 'diffclf-lightning[{extra}]'" in run.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["0.png"]


def test_robustness_without_figures(diffclf, tmp_path, without):
    """Tables need none: it is said, before the images of a run, and all else is there."""
    without("matplotlib")
    sets = ["--data.test_sets=[digits,rotation_20]", "--results.folder=run"]
    with pytest.warns(UserWarning, match=r"There will be no figure.*lightning\[figures\]"):
        diffclf("test", "--config", "digits_shifts", *FEW, *sets)
    run = diffclf("robustness", "run", "--baselines=digits", "--output=compared")
    assert "There is no figure" in run.stdout
    assert "'diffclf-lightning[figures]'" in run.stdout
    for folder in ("run", "compared"):
        assert (tmp_path / folder / "robustness.csv").is_file()
        assert not list((tmp_path / folder).glob("*.png"))
