"""``diffclf sweep``: models on sets through processes of their own, resumed and with a failure."""

import csv
import io
import json
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from diffclf_lightning import InputError
from diffclf_lightning.cli import main
from diffclf_lightning.configurations import CONFIGS, find_config, matching_configs
from diffclf_lightning.sweep import Sweep
from diffclf_lightning.sweep.plan import name_of

SWEEP = """
configs:
  - digits
  - {name: broken, config: digits, model.loss: l7}
data:
  - {name: few, data: Digits, data.num_test: 12}
  - {name: turned, config: digits_shifts, data.test_sets: [rotation_10], data.num_test: 12}
args: {model.strategy: Staged, model.strategy.trials: [1, 3]}
"""
KEEP = ["--", "--model.strategy.keep=[2, 1]"]


@pytest.fixture
def sweep(diffclf, tmp_path):
    """A sweep of two models, one of them broken, and two sets."""
    (tmp_path / "mine.yaml").write_text(SWEEP)
    return lambda *args, code=0: diffclf("sweep", "mine.yaml", *args, code=code)


@pytest.fixture
def in_process(monkeypatch):
    """Runs of a sweep in this process, which saves each of them the imports."""

    def run(command, stdout, **streams):
        assert command[:3] == [sys.executable, "-m", "diffclf_lightning"]
        text = io.TextIOWrapper(stdout, write_through=True)
        code = 0
        with redirect_stdout(text), redirect_stderr(text):
            try:
                main(command[3:])
            except SystemExit as stop:
                code = stop.code
        text.detach()
        return code

    monkeypatch.setattr("diffclf_lightning.sweep.command.run_until_stopped", run)


def test_a_run_of_a_sweep_is_a_process_of_its_own(diffclf, tmp_path):
    args = ["--model.strategy.max_trials=3", "--data.num_test=5"]
    out = diffclf("sweep", "--configs", "digits", "--", *args).stdout
    assert "/5" in out
    assert (tmp_path / "runs/sweep-digits/compare.csv").is_file()
    assert "evaluations" in (tmp_path / "runs/sweep-digits/logs/digits.log").read_text()


def test_a_sweep_ends_goes_on_and_reports_what_failed(sweep, tmp_path, in_process):
    folder = tmp_path / "runs/sweep-mine"
    listed = sweep("--dry-run", *KEEP).stdout
    assert listed.count("new       diffclf test") == 4
    assert not (tmp_path / "runs").exists()
    out = sweep(*KEEP, code=1).stdout
    assert "2 of 4 runs failed" in out
    assert "broken__few: diffclf: error: Expected argument `loss`" in out
    with (folder / "compare.csv").open() as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert {name: (row["set"], row["total"]) for name, row in rows.items()} == {
        "digits__few": ("few: digits", "12"), "digits__turned": ("turned: rotation_10", "12"),
    }  # fmt: skip
    config = yaml.safe_load((folder / "digits__turned/config.yaml").read_text())
    assert config["model"]["init_args"]["strategy"]["init_args"] == {
        "trials": [1, 3], "keep": [2, 1],
    }  # fmt: skip

    # One is interrupted, one is finished, two are broken.
    interrupted = folder / "digits__few"
    table = pq.read_table(interrupted / "images.parquet")
    pq.write_table(table.slice(0, 5), interrupted / "images.parquet")
    (interrupted / "summary.json").unlink()
    finished = (folder / "logs/digits__turned.log").stat().st_mtime_ns
    listed = sweep("--dry-run", *KEEP).stdout
    assert [line.split()[0] for line in listed.splitlines()] == [
        "continues", "finished", "new", "new",
    ]  # fmt: skip
    (tmp_path / "mine.yaml").write_text(
        SWEEP.replace("l7", "l1").replace("name: broken, ", "name: broken, model.temperature: 1, ")
    )
    out = sweep(*KEEP).stdout
    assert (folder / "logs/digits__turned.log").stat().st_mtime_ns == finished
    again = pq.read_table(interrupted / "images.parquet")
    assert again["seconds"].to_pylist()[:5] == table["seconds"].to_pylist()[:5]
    assert again["prediction"].equals(table["prediction"])
    assert json.loads((interrupted / "summary.json").read_text())["sets"]["digits"]["total"] == 12
    assert "Pairs on the same images of few: digits" in out
    with (folder / "compare-pairs.csv").open() as file:
        pairs = {row["set"]: row for row in csv.DictReader(file)}
    assert {row["first"] for row in pairs.values()} == {"digits__few", "digits__turned"}
    assert all(row["images"] == "12" for row in pairs.values())
    refused = sweep("--", "--model.strategy.keep=[3, 1]", code=2)
    assert "to be the same as before, but digits__few has another" in refused.stderr


def test_every_model_meets_the_same_data_and_nothing_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text("data: {class_path: Digits, init_args: {num_test: 3e-0}}")
    made = Sweep.make("s", ["digits*", "baselines/digits"], ["tiny.yaml", "Digits"])
    names = [member.name for member in made.members]
    assert "digits_text__tiny" in names
    assert "baselines-digits__Digits" in names
    assert not any("train" in name for name in names)
    for member in made.members:
        config = yaml.safe_load(member.config)
        model = yaml.safe_load((CONFIGS / find(member.name)).read_text())["model"]
        assert config["model"] == model
        if member.data == "tiny":
            assert "num_test: 3e-0" in member.config  # as it was written
            assert set(config["data"]["init_args"]) == {"num_test"}
            assert member.flags == ()
        else:
            assert "data" not in config
            assert member.flags == ("--data=diffclf_lightning.datamodules.Digits",)


def find(name):
    return name.split("__")[0].replace("baselines-", "baselines/") + ".yaml"


def test_globs_of_configurations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert set(matching_configs("zero_shot/*")) > {"zero_shot/pets", "zero_shot/food101"}
    assert all("/" not in name for name in matching_configs("*"))
    (tmp_path / "own").mkdir()
    for name in ("b.yaml", "a.yml", "c.txt"):
        (tmp_path / "own" / name).write_text("model: {}")
    assert matching_configs("own/*") == ["own/a.yml", "own/b.yaml"]
    assert matching_configs(f"{tmp_path}/own/b*") == [str(tmp_path / "own/b.yaml")]
    assert find_config("own/a.yml") == "own/a.yml"


def test_the_name_of_a_sweep_follows_from_its_configurations():
    assert name_of(["baselines/*", "digits"]) == "baselines-digits"
    assert name_of(["*"]) == "all"
    assert len(name_of(["digits"] * 50)) <= 60


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[digits]", "keys name, configs, data, args alone"),
        ("models: [digits]", "keys name, configs, data, args alone, but got ['models']"),
        ("configs: [", "SWEEP to be a YAML file"),
        ("configs: digits", "`configs` of the sweep mine.yaml to be a list"),
        ("configs: []", "at least one model"),
        ("configs: [digits, digits]", "configs of different names, but got 'digits' twice"),
        ("configs: [{name: a b, config: digits}]", "that can name a folder, but got 'a b'"),
        ("configs: [{model.loss: l1}]", "to have `config`"),
        ("configs: [7]", "names or mappings of flags, but got 7"),
        ("configs: [{name: x, config: 'digits*'}]", "one configuration for the name 'x'"),
        ("configs: [digits_train]", "which trains"),
        ("configs: ['digits_train*']", "to match configurations of `diffclf test`"),
        ("configs: [digitz]", "--config to be a file or one of"),
        ("{configs: [digits], data: [Digitz]}", "--data to be a data module (CIFAR10"),
        ("{configs: [digits], data: [{name: x}]}", "or to have `data` or `config`"),
        ("{configs: [digits], data: [bare.yaml]}", "'bare.yaml' to have `data`"),
        ("{configs: [digits], args: [--x]}", "`args` of the sweep mine.yaml to be a mapping"),
        ("{configs: [digits], args: {results.folder: x}}", "'--results.folder=x', which the sweep"),
    ],
)
def test_bad_input_is_refused_before_the_first_run(diffclf, tmp_path, content, message):
    (tmp_path / "mine.yaml").write_text(content)
    (tmp_path / "bare.yaml").write_text("model: {}")
    out = diffclf("sweep", "mine.yaml", code=2)
    assert "diffclf: error: Expected" in out.stderr
    assert message in out.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "either SWEEP.yaml or --configs, but got neither"),
        (["a.yaml", "--configs", "digits"], "but got both"),
        (["a.yaml", "--data", "Digits"], "the data of a.yaml in the file"),
        (["a.yaml"], "SWEEP to be a YAML file"),
        (["--configs", "digits", "--name", "../up"], "that can name a folder, but got '../up'"),
    ],
)
def test_wrong_arguments_are_named(diffclf, args, message):
    assert message in diffclf("sweep", *args, code=2).stderr


def test_a_set_without_a_name_of_its_own_twice():
    with pytest.raises(InputError, match="data of different names, but got 'Digits' twice"):
        Sweep.make("s", ["digits"], ["Digits", {"data": "Digits", "data.num_test": 3}])


def test_the_sweep_of_the_documentation(tmp_path):
    page = (Path(__file__).parents[1] / "docs/comparing.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "mine.yaml").write_text(example)
    made = Sweep.read(tmp_path / "mine.yaml", None)
    assert [member.name for member in made.members] == [
        "digits__clean", "digits__turned", "digits-l1__clean", "digits-l1__turned",
    ]  # fmt: skip
    assert made.members[3].flags == (
        "--data.test_sets=[\"rotation_20\"]", "--data.num_test=200", "--model.loss=l1",
        "--trainer.accelerator=cpu",
    )  # fmt: skip
