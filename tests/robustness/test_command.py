"""``diffclf robustness`` over finished runs, as a person would use it."""

import csv
import json
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from lightning.pytorch import Trainer
from scipy.special import expit, logit
from scipy.stats import linregress
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import DiffusionClassifier, Full
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.denoisers import GaussianDenoiser

CHEAP = ["--model.strategy=Staged", "--model.strategy.trials=[1,3]", "--model.strategy.keep=[2,1]"]


@pytest.fixture(autouse=True)
def narrow_terminal(diffclf, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def record(folder, noise, labels, keys=24, seed=0):
    """A finished run of two sets, with a classifier that errs the more the more noise there is."""
    torch.manual_seed(seed)
    means = torch.linspace(-0.5, 0.5, 3).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    denoiser = GaussianDenoiser(means * (1 - noise / 100), 0.3)  # weights of its own
    x = denoiser.means.detach()[labels]
    loaders = {
        name: DataLoader(
            TensorDataset(((x + scale * torch.randn_like(x)).clamp(-1, 1) + 1) / 2, labels),
            batch_size=keys,
        )
        for name, scale in (("easy", noise), ("hard", 2 * noise))
    }
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        callbacks=[ResultsWriter(folder)],
    )  # fmt: skip
    classifier = DiffusionClassifier(denoiser, Full(20), other_losses=["l1"])
    trainer.test(classifier, loaders, verbose=False)
    return {name: (r.correct, r.total) for name, r in classifier.reports.items()}


@pytest.fixture
def runs(tmp_path):
    labels = torch.arange(3).repeat(40)
    noises = {"a": 0.2, "b": 0.3, "c": 0.4, "d": 0.6, "own": 0.5}
    return {name: record(tmp_path / name, noise, labels) for name, noise in noises.items()}


def test_lines_of_the_shipped_tables_from_one_command(diffclf, tmp_path):
    out = diffclf("robustness").stdout
    for name in ("imagenetv2", "imagenet_a ", "imagenet_r", "imagenet_sketch", "objectnet"):
        assert name in out
    assert "< 91.86" in out
    assert "> 91.86" in out
    assert "0.923" in out  # the slope that Taori et al.'s models have on ImageNetV2
    assert all(len(line) <= 80 for line in out.splitlines())
    (folder,) = (tmp_path / "runs").iterdir()
    lines = json.loads((folder / "robustness.json").read_text())
    assert {line["baselines"] for line in lines} == {"testbed", "timm", "digits"}
    assert {path.name for path in folder.glob("*.png")} == {
        "robustness-testbed.png", "robustness-timm.png", "robustness-digits.png",
    }  # fmt: skip


def test_runs_against_runs(diffclf, runs, tmp_path):
    baselines = ["--baselines", "a", "b", "c", "d"]
    out = diffclf("robustness", "own", *baselines, "--pairs", "easy:hard", "--output", "r").stdout
    with (tmp_path / "r/robustness.csv").open() as file:
        (row,) = csv.DictReader(file)
    (correct, total), (hard, _) = runs["own"]["easy"], runs["own"]["hard"]
    counts = [int(row[k]) for k in ("id_correct", "id_total", "ood_correct")]
    assert counts == [correct, total, hard]
    rest = [v for name, v in runs.items() if name != "own"]
    x, y = ([logit(v[axis][0] / v[axis][1]) for v in rest] for axis in ("easy", "hard"))
    line = linregress(x, y)
    predicted = expit(line.intercept + line.slope * logit(correct / total))
    assert float(row["effective_robustness"]) == pytest.approx(hard / total - predicted)
    assert "Results: r" in out


def test_other_losses_of_a_run(diffclf, runs, tmp_path):
    args = ["own", "--baselines", "a", "b", "c", "d", "--pairs", "easy:hard", "--output", "r"]
    diffclf("robustness", *args, "--other-losses")
    with (tmp_path / "r/robustness.csv").open() as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["own", "own (l1)"]
    summary = json.loads((tmp_path / "own/summary.json").read_text())["sets"]
    for axis, name in (("id", "easy"), ("ood", "hard")):
        correct = summary[name]["others"]["l1"]["correct"]
        assert int(rows["own (l1)"][f"{axis}_correct"]) == correct
        assert int(rows["own"][f"{axis}_correct"]) == summary[name]["correct"]


def test_a_set_without_numbers_of_correct_images_is_passed_over(diffclf, runs, tmp_path):
    file = tmp_path / "own/summary.json"
    summary = json.loads(file.read_text())
    summary["sets"]["pairs"] = {"text_score": 0.5}
    file.write_text(json.dumps(summary))
    args = ["own", "--baselines", "a", "b", "c", "--pairs", "easy:hard", "--output", "r"]
    assert "Results: r" in diffclf("robustness", *args).stdout
    wanting = diffclf("robustness", *args[:-3], "easy:pairs", code=2)
    assert "Models have the sets easy, hard;" in wanting.stderr


def test_comparisons_among_the_runs_are_passed_over(diffclf, runs, tmp_path):
    args = ["own", "--baselines", "a", "b", "c", "--pairs", "easy:hard"]
    diffclf("robustness", *args, "--output", "earlier")
    diffclf("robustness", "earlier", *args, "--output", "later")
    assert (tmp_path / "later/robustness.json").is_file()


def test_a_csv_of_accuracies(diffclf, tmp_path):
    rows = "".join(f"m{i},{60 + 3 * i},{50 + 4 * i}\n" for i in range(8))
    (tmp_path / "mine.csv").write_text("model,easy,hard\n" + rows)
    (tmp_path / "own.csv").write_text("model,easy/1000,hard/1000\nit,700,800\n")
    args = ["own.csv", "--baselines", "mine.csv", "--pairs", "easy:hard", "--output", "r"]
    out = diffclf("robustness", *args, "--scale", "probit").stdout
    assert "Effective robustness of it against mine" in out
    assert json.loads((tmp_path / "r/robustness.json").read_text())[0]["scale"] == "probit"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nothing"], "CSV file or one of digits, paper, testbed, timm, but got 'nothing'"),
        (["."], "summary.json"),
        (["paper", "paper"], "'ResNet-18' twice"),
        (["paper", "--scale", "log"], "`scale` to be one of logit, probit, linear"),
        (["paper", "--min-r2", "2"], "(--min-r2) to be from 0 to 1, but got 2.0"),
        (["paper", "--pairs", "imagenet"], "ID:OOD@BREAK"),
        (["paper", "--pairs", "imagenet:imagenet_a"], "--allow-other-classes"),
        (["paper", "--baselines", "digits"], "both sets of a pair"),
        (["--baselines", "testbed", "--pairs", "imagenet:imagenetv2@20"], "below the break at 0.2"),
    ],
)
def test_bad_input_gets_one_error_and_no_traceback(diffclf, args, message):
    out = diffclf("robustness", *args, code=2)
    assert message in out.stderr
    assert "diffclf: error: Expected" in out.stderr
    assert "Traceback" not in out.stderr


def test_the_same_weights_are_one_baseline(diffclf, runs, tmp_path):
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    args = ["own", "--baselines", "a", "copy", "b", "--pairs", "easy:hard"]
    assert "a and copy have the same" in diffclf("robustness", *args, code=2).stderr


def test_damaged_runs_are_named(diffclf, runs, tmp_path):
    args = ["own", "--baselines", "a", "b", "c", "--pairs", "easy:hard"]
    (tmp_path / "own/images.parquet").write_text("cut off")
    assert "to be a whole Parquet file" in diffclf("robustness", *args, code=2).stderr
    for text in ("{", "[]", "{}"):
        (tmp_path / "own/summary.json").write_text(text)
        assert "summary of a finished run" in diffclf("robustness", *args, code=2).stderr


def test_an_output_that_is_a_file_is_refused_before_the_work(diffclf, tmp_path):
    (tmp_path / "taken").write_text("")
    out = diffclf("robustness", "--output", "taken", code=2)
    assert "--output to be a folder" in out.stderr
    assert not out.stdout


def test_tables_of_one_name_are_refused(diffclf, tmp_path):
    (tmp_path / "testbed.csv").write_text("model,a,b\nx,0.5,0.4\n")
    out = diffclf("robustness", "--baselines", "testbed", "testbed.csv", code=2)
    assert "'testbed' twice" in out.stderr


def test_a_finished_run_without_pairs_keeps_its_results(diffclf, tmp_path):
    few = ["--data.test_sets=[digits]", "--data.num_test=5"]
    with pytest.warns(UserWarning, match="There will be no effective robustness"):
        diffclf("test", "--config", "digits_shifts", *CHEAP, *few, "--results.folder=r")
    assert json.loads((tmp_path / "r/summary.json").read_text())["sets"]["digits"]["total"] == 5
    assert not (tmp_path / "r/robustness.csv").exists()


def test_other_images_are_refused(diffclf, tmp_path):
    record(tmp_path / "first", 0.3, torch.arange(3).repeat(10))
    record(tmp_path / "second", 0.3, torch.arange(3).repeat(8))
    (tmp_path / "mine.csv").write_text("model,easy,hard\nx,0.5,0.4\ny,0.6,0.5\n")
    args = ["first", "second", "--baselines", "mine.csv", "--pairs", "easy:hard"]
    out = diffclf("robustness", *args, code=2)
    assert "same images of 'easy' in all runs, but got 30 in first and 24 in second" in out.stderr


def test_runs_with_a_part_in_common_are_compared_on_it_if_asked_for(diffclf, tmp_path):
    """On the images whose names both have, by the answers of each."""
    labels = torch.arange(3).repeat(10)
    record(tmp_path / "first", 0.3, labels)
    record(tmp_path / "second", 0.4, labels[:24])
    expected = {}
    for name in ("first", "second"):
        rows = pq.read_table(tmp_path / name / "images.parquet").to_pylist()
        common = [row for row in rows if int(row["key"]) < 24]
        expected[name] = {
            axis: sum(row["label"] == row["prediction"] for row in common if row["set"] == one)
            for axis, one in (("id", "easy"), ("ood", "hard"))
        }
    args = ["first", "second", "--pairs", "easy:hard"]
    assert "or give --common" in diffclf("robustness", *args, code=2).stderr
    out = diffclf("robustness", *args, "--common", "--output", "r").stdout
    assert "on the 24 images of easy that all runs have in common" in " ".join(out.split())
    with (tmp_path / "r/robustness.csv").open() as file:
        for row in csv.DictReader(file):
            for axis in ("id", "ood"):
                assert int(row[f"{axis}_total"]) == 24
                assert int(row[f"{axis}_correct"]) == expected[row["model"]][axis]


def test_a_table_of_other_numbers_of_images_is_not_compared_with_a_run(diffclf, tmp_path):
    record(tmp_path / "first", 0.3, torch.arange(3).repeat(10))
    (tmp_path / "mine.csv").write_text("model,easy/200,hard/200\nx,100,80\n")
    args = ["first", "mine.csv", "--pairs", "easy:hard"]
    said = diffclf("robustness", *args, code=2).stderr
    assert "as many images of 'easy'" in said
    assert "30 for first and 200 for x" in said


def test_counts_that_are_not_of_the_rows_name_file_and_set(diffclf, tmp_path):
    record(tmp_path / "first", 0.1, torch.arange(3).repeat(10))
    file = tmp_path / "first/summary.json"
    right = json.loads(file.read_text())
    wrong = [("correct", value) for value in (31, -1, 2.5, True, "ten", None, 0)]
    for name, value in [*wrong, ("total", 0), ("total", None), ("total", 29)]:
        sets = right["sets"]
        summary = {**right, "sets": {**sets, "easy": {**sets["easy"], name: value}}}
        file.write_text(json.dumps(summary))
        said = diffclf("robustness", "first", "--pairs", "easy:hard", code=2).stderr
        assert "'easy'" in said, value
        assert "first/summary.json'" in said
        assert "Traceback" not in said


def test_a_mixed_table_is_refused(diffclf, tmp_path):
    (tmp_path / "mixed.csv").write_text("model,a,b\nx,0.5,50\ny,0.6,60\n")
    out = diffclf("robustness", "--baselines", "mixed.csv", "--pairs", "a:b", code=2)
    assert "all in percent or all as fractions" in out.stderr


def test_help_names_its_flags(diffclf):
    assert "--allow-other-classes" in diffclf("robustness", "--help").stdout


def test_digits_with_their_shifts_end_with_effective_robustness(diffclf, tmp_path):
    """The callback, through the shipped configuration."""
    out = diffclf(
        "test", "--config", "digits_shifts", *CHEAP, "--results.folder=r",
        "--data.test_sets=[digits,rotation_10,noise_0.25]",
    ).stdout  # fmt: skip
    assert "Effective robustness of diffusion classifier against digits" in out
    summary = json.loads((tmp_path / "r/summary.json").read_text())["sets"]
    with (tmp_path / "r/robustness.csv").open() as file:
        rows = {row["ood_set"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"rotation_10", "noise_0.25"}
    for name, row in rows.items():
        assert int(row["ood_correct"]) == summary[name]["correct"]
        gap = float(row["ood_accuracy"]) - float(row["predicted"])
        assert float(row["effective_robustness"]) == pytest.approx(gap)
    again = diffclf("robustness", "r", "--output", "later").stdout
    assert "Effective robustness of r against digits" in again
    later = (tmp_path / "later/robustness.csv").read_text()
    assert rows["rotation_10"]["effective_robustness"] in later


def test_two_runs_of_ones_own_without_a_line(diffclf, runs, tmp_path):
    """One baseline makes no line: accuracies are shown, their change, and what is missing."""
    for baselines in ([], ["--baselines", "a"]):
        args = ["own", "b", "--pairs", "easy:hard", *baselines, "--output", "r"]
        out = diffclf("robustness", *args).stdout
        said = " ".join(out.split())
        assert f"at least 2 baselines, but got {len(baselines) // 2}" in said
        assert "no line, so no effective robustness" in said
        assert "GaussianDenoiser" in out
        assert all(len(line) <= 80 for line in out.splitlines())
        with (tmp_path / "r/robustness.csv").open() as file:
            rows = {row["model"]: row for row in csv.DictReader(file)}
        for name, row in rows.items():
            (easy, total), (hard, _) = runs[name]["easy"], runs[name]["hard"]
            assert float(row["drop"]) == pytest.approx((easy - hard) / total)
            assert f"{100 * (hard - easy) / total:+.1f}" in out
            assert (row["family"], row["effective_robustness"]) == ("GaussianDenoiser", "")
        assert not list((tmp_path / "r").glob("*.png"))
    wide = ["own", "b", "--baselines", "a", "c", "d", "--pairs", "easy:hard", "--output", "r"]
    assert "by the" in diffclf("robustness", *wide).stdout


def test_runs_of_one_model_on_a_set_each_are_one_model(diffclf, runs, tmp_path):
    """Whether their sets have names of their own, or one name, as in a sweep."""
    counts = runs["own"]
    for name in ("own__clean", "own__turned"):
        shutil.copytree(tmp_path / "own", tmp_path / "sweep" / name)
    for name, kept in (("own__clean", "easy"), ("own__turned", "hard")):
        file = tmp_path / "sweep" / name / "summary.json"
        summary = json.loads(file.read_text())
        summary["sets"] = {kept: summary["sets"][kept]}
        file.write_text(json.dumps(summary))
    diffclf("robustness", "sweep", "--pairs", "easy:hard", "--output", "r")
    file = tmp_path / "sweep/own__turned/summary.json"
    summary = json.loads(file.read_text())
    summary["sets"] = {"easy": summary["sets"]["hard"]}
    file.write_text(json.dumps(summary))
    rows = pq.read_table(file.with_name("images.parquet"))
    rows = rows.filter(pc.field("set") == "hard").drop_columns("set")
    renamed = rows.append_column("set", pa.array(["easy"] * len(rows)))
    pq.write_table(renamed, file.with_name("images.parquet"))
    diffclf("robustness", "sweep/*", "--pairs", "clean:turned", "--output", "s")
    for folder in "rs":
        with (tmp_path / folder / "robustness.csv").open() as opened:
            (row,) = csv.DictReader(opened)
        assert row["model"] == "own"
        assert int(row["id_correct"]) == counts["easy"][0]
        assert int(row["ood_correct"]) == counts["hard"][0]
