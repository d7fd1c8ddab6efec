"""Paths as they are typed, and names of files."""

import string

import pytest
from forked import diffclf as forked
from PIL import Image

from diffclf_lightning import InputError
from diffclf_lightning.callbacks import (
    EffectiveRobustness,
    ErrorFigure,
    ExportDenoiser,
    ResultsWriter,
)
from diffclf_lightning.configurations import find_config, matching_configs
from diffclf_lightning.convert.names import names_of
from diffclf_lightning.datamodules import ImageCSV, ImageFolder, ImageNet, Winoground
from diffclf_lightning.paths import file_name, file_named, named, path_of
from diffclf_lightning.refusals import checkpoint_path
from diffclf_lightning.results import RunFolder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_tilde_is_the_home_folder_wherever_a_path_is_typed(home):
    (home / "x.yaml").write_text("seed_everything: 1\n")
    Image.new("L", (8, 8)).save(home / "a.png")
    (home / "x.csv").write_text("path,label\na.png,cat\n")
    paths = [
        ResultsWriter("~/x").chosen(),
        RunFolder("~/x").path,
        ErrorFigure(folder="~/x").folder,
        EffectiveRobustness(["digits"], folder="~/x").folder,
        ExportDenoiser("~/x").folder,
        ImageFolder("~/x").root,
        ImageNet("~/x").root,
        Winoground("~/x").root,
        path_of("~/x"),
    ]
    assert paths == [home / "x"] * len(paths)
    assert ImageCSV("~/x.csv").file == home / "x.csv"
    assert find_config("~/x.yaml") == str(home / "x.yaml")
    assert matching_configs("~/*.yaml") == [str(home / "x.yaml")]
    assert checkpoint_path("~/x.csv") == str(home / "x.csv")
    assert checkpoint_path("s3://a/~/x") == "s3://a/~/x"
    assert (named("~/x"), named("owner/model")) == (str(home / "x"), "owner/model")


def test_a_run_whose_folder_is_below_the_home_folder(home, tmp_path):
    (tmp_path / "work").mkdir()
    few = ["--data.num_test=2", "--model.strategy.max_trials=3", "--results.folder=~/r"]
    ended = forked(tmp_path / "work", "test", "--config=digits", *few)
    assert ended.code == 0, ended.stderr
    assert (home / "r/summary.json").is_file()
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize(
    "path", ["~no-such-user/x", "a/" + "x" * 256, "ü" * 128, "a\0b", "a/" * 2100]
)
def test_paths_that_no_file_can_have(path):
    for read in (path_of, named, find_config, RunFolder, ImageFolder):
        with pytest.raises(InputError, match="Expected a path"):
            read(path)


@pytest.mark.parametrize(
    "command",
    [
        ["report"], ["compare"], ["costs"], ["robustness"], ["calibrate"], ["figures"],
        ["score", "--score=MeanError"], ["test", "--config"], ["classify", "--names=a,b"],
        ["sweep", "--configs"], ["sweep"], ["selfcheck"],
    ],
)  # fmt: skip
def test_a_name_that_is_too_long_is_one_line(command, diffclf):
    said = diffclf(*command, "x" * 300, code=2).stderr
    assert said.startswith("diffclf: error: Expected a path that file systems take")
    assert said.count("\n") == 1


PLAIN = ["digits", "noise_0.25", "ImageNet-V2", "a+b", "ü", "日本", "x" * 90]
ODD = [
    "", ".", "..", "...", "a/b", "a b", "a\\b", "a\nb", "a\0b", "a:b", "../../x", "/", "-", " ",
    "~", "x" * 300, "y" * 101, "é" * 200, "[/red]", "con/", "a/b ", "\udcff", ".hidden", "a*",
]  # fmt: skip


def test_plain_names_of_sets_stay_in_names_of_files():
    assert [file_name(name) for name in PLAIN] == PLAIN


def test_every_name_of_a_set_makes_a_file_of_its_own(tmp_path):
    for name in PLAIN + ODD:
        (tmp_path / f"errors-{file_name(name)}.png").touch(exist_ok=False)
    written = [file.name for file in tmp_path.iterdir()]
    assert len(written) == len(PLAIN + ODD)
    for name in ODD:
        assert not set(file_name(name)) & (set(string.whitespace) | set("\0/\\:*?\"<>|~[]'$"))


def test_a_text_may_be_a_file_or_names(tmp_path):
    (tmp_path / "names.txt").write_text("cat\n")
    assert file_named(str(tmp_path / "names.txt")) == tmp_path / "names.txt"
    many = ",".join(f"class number {number}" for number in range(100))
    assert [file_named(text) for text in (many, "~cat,dog", "cat", str(tmp_path))] == [None] * 4
    assert names_of([many]) == many.split(",")
