"""Tables of accuracies: the shipped ones against published figures, and a user's own."""

import csv
import time
from pathlib import Path

import pytest

from diffclf_lightning import InputError
from diffclf_lightning.robustness import read_table
from diffclf_lightning.robustness.sources import read_baselines
from diffclf_lightning.robustness.tables import FOLDER, shipped_tables


def write(tmp_path, text):
    file = tmp_path / "mine.csv"
    file.write_text(text)
    return str(file)


def accuracies(table):
    return {m.name: {s: a.value for s, a in m.accuracies.items()} for m in table.models}


def model(table, name):
    return next(m for m in read_table(table).models if m.name == name)


@pytest.mark.parametrize(
    ("table", "name", "set_name", "percent", "total"),
    [
        # torchvision's documentation, and the tables that these were taken from.
        ("testbed", "resnet50", "imagenet", 76.13, 50000),
        ("testbed", "resnet50", "imagenet_a_id", 91.86, 10000),
        ("testbed", "resnet50", "imagenet_a", 0.0, 7500),
        ("testbed", "alexnet", "imagenet", 56.522, 50000),
        ("testbed", "vgg16", "imagenet", 71.592, 50000),
        ("timm", "resnet18.tv_in1k", "imagenet", 69.758, 50000),
        ("paper", "Diffusion Classifier 512", "imagenet_a", 30.2, 7500),
        ("paper", "ViT-B/16", "objectnet", 39.9, 18514),
    ],
)
def test_shipped_figures_are_the_published_ones(table, name, set_name, percent, total):
    accuracy = model(table, name).accuracies[set_name]
    assert accuracy.total == total
    assert 100 * accuracy.value == pytest.approx(percent, abs=0.006)


def test_shipped_tables_say_whence_they_are():
    assert shipped_tables() == ["digits", "paper", "testbed", "timm"]
    for name, source in (("testbed", "MIT"), ("timm", "Apache-2.0"), ("paper", "2303.16203")):
        assert source in (FOLDER / f"{name}.csv").read_text().split("model,")[0]


def test_standard_models_are_marked():
    assert sum(m.standard for m in read_table("testbed").models) == 85
    timm = read_table("timm").models
    assert len(timm) == 1266
    assert {m.name: m.standard for m in timm}["resnet18.tv_in1k"]
    assert not any(m.standard for m in timm if "clip" in m.name or "in22k" in m.name)


def test_the_same_weights_are_one_baseline():
    with (FOLDER / "timm.csv").open() as file:
        rows = list(csv.DictReader(line for line in file if line[0] != "#"))
    assert len({row["model"] for row in rows}) == len(rows)


def test_counts_and_accuracies(tmp_path):
    table = read_table(write(tmp_path, "# mine\nmodel, family,a/50,b\nx,f,25,0.5\ny,,50,\n"))
    x, y = table.models
    assert (x.accuracies["a"].correct, x.accuracies["a"].total) == (25, 50)
    assert (x.accuracies["b"].value, x.accuracies["b"].total) == (0.5, None)
    assert (x.family, y.family) == ("f", "y")
    assert list(y.accuracies) == ["a"]
    assert table.sets == ["a", "b"]
    assert table.name == "mine"


def test_percent_fractions_and_signs_say_the_same(tmp_path):
    fractions = accuracies(read_table(write(tmp_path, "model,a,b\nx,0.5,0.008\ny,0.75,0\n")))
    percent = accuracies(read_table(write(tmp_path, "model,a,b\nx,50,0.8%\ny,75,0\n")))
    for name, values in fractions.items():
        assert percent[name] == pytest.approx(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model,a,b\nx,0.5,50\n",
            r"all in percent or all as fractions.*0\.5 for x in column 'a'.*0\.8%",
        ),
        ("model,a\nx,60\ny,0.7\n", r"0\.7 for y in column 'a', beside 60 for x in column 'a'"),
        ("model,a\nx,sixty\n", r"an accuracy in column 'a'.*'sixty' for x"),
        ("model,a\nx,nan\n", r"an accuracy in column 'a'.*'nan' for x"),
        ("model,a\nx,inf\n", r"an accuracy in column 'a'.*'inf' for x"),
        ("model,a\nx,101\n", r"an accuracy in column 'a'.*'101' for x"),
        ("model,a\nx,-1\n", r"an accuracy in column 'a'.*'-1' for x"),
        ("model,a/10\nx,11\n", r"a number of images up to 10 in column 'a/10'.*'11' for x"),
        ("model,a/10\nx,0.5\n", r"a number of images up to 10.*'0\.5' for x"),
        ("model,a/10\nx,nan\n", r"a number of images up to 10.*'nan' for x"),
        ("model,a/50\nx,25%\n", r"a number of images up to 50.*'25%' for x"),
        ("model,a\nx,0.5\nx,0.6\n", r"each model once, with a name.*'x' in 2 rows"),
        ("model,a\n,0.5\n", r"each model once, with a name.*'' in 1 rows"),
        ("name,a\nx,0.5\n", r"a column 'model' and at least one row.*columns name, a"),
        ("model,a\n", r"at least one row.*no rows"),
        ("model,family\nx,f\n", r"a column for each test set"),
        ("model,standard,a\nx,yes,0.5\n", r"1 or 0 in column 'standard'.*'yes' for x"),
        ("model,a,b,a\nx,1,1,1\n", r"each column once.*'a' more than once"),
        ("model,a/10,a/20\nx,1,1\n", r"each column once.*'a' more than once"),
        ("model,a\nx,0.5,0.6\n", r"2 cells a row in line 2 of"),
        (
            "# a\n\nmodel,a/9\nx,1\n# b\n\ny,10\n",
            r"up to 9 in column 'a/9' in line 7 of.*'10' for y",
        ),
        ("model,a/9\nx,-1\n", r"a number of images up to 9 .*'-1' for x"),
        ("model,a/0\nx,0\n", r"SET/TOTAL with a total of at least 1 image.*'a/0'"),
        ("model,a/-5\nx,5\n", r"SET/TOTAL.*'a/-5'"),
        ("model,a/5.5\nx,5\n", r"SET/TOTAL.*'a/5\.5'"),
        ("model,a/\nx,5\n", r"SET/TOTAL.*'a/'"),
        ("model,/50\nx,5\n", r"SET/TOTAL.*'/50'"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_table(write(tmp_path, text))
    assert "mine.csv" in str(caught.value)


def test_a_large_table_is_read_in_seconds(tmp_path):
    """A row costs the same whatever stands before it."""
    rows = [f"m{i},{400 + i % 500},{300 + i % 400}" for i in range(40_000)]

    def seconds(count):
        text = "\n".join(["model,a/1000,b/1000", *rows[:count]])
        file, start = write(tmp_path, text), time.process_time()
        assert len(read_table(file).models) == count
        return time.process_time() - start

    few = min(seconds(4_000) for _ in range(2))
    assert seconds(40_000) < 40 * few


@pytest.mark.parametrize("name", ["absent.csv", "testbd", ""])
def test_a_table_that_is_none_is_named_beside_those_that_are(name):
    with pytest.raises(InputError, match="one of digits, paper, testbed, timm"):
        read_table(name)


def test_a_file_that_is_no_text_is_named(tmp_path):
    file: Path = tmp_path / "image.csv"
    file.write_bytes(b"\x89PNG\xff")
    with pytest.raises(InputError, match=r"image\.csv.*UnicodeDecodeError"):
        read_table(str(file))


def test_a_folder_does_not_hide_the_shipped_table_of_its_name(tmp_path, monkeypatch):
    """As `diffclf test --config digits --results.folder digits` makes one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    (table,) = read_baselines(["digits"])
    assert len(table.models) == 72
