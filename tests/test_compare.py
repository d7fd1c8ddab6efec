"""``diffclf compare``: hand-made rows against counts by hand, and two real runs."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from lightning.pytorch import Trainer
from scipy.stats import binomtest
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import AutoDenoiser, DiffusionClassifier, Full
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.metrics import classification_report
from diffclf_lightning.results import RunFolder

CHEAP = [
    "--model.strategy=Staged", "--model.strategy.trials=[1,3]", "--model.strategy.keep=[2,1]",
    "--data.num_test=20",
]  # fmt: skip


def record(folder, labels, predictions, *, keys=None, names=None, digests=None, set_name="cats"):
    """A finished run with one set of hand-made rows."""
    count = len(labels)
    label, prediction = np.array(labels), np.array(predictions)
    report = classification_report(
        label, prediction, np.full(count, 0.5), (label != prediction).astype(int),
        np.full(count, 0.7), np.full(count, 3), np.full(count, 0.1), {}, 3,
    )  # fmt: skip
    run = RunFolder(folder)
    description = {"classifier": "DiffusionClassifier", "denoiser": "Own", "precision": "32-true"}
    run.begin(description, {set_name: None})
    run.described.record({"device": "Abacus", "devices": 2, "version": "9.9", "torch": "1"})
    keys = keys or [f"image-{i}" for i in range(count)]
    rows = {
        "set": [set_name] * count, "key": keys, "digest": digests or [f"d{k}" for k in keys],
        "evaluations": [3] * count, "seconds": [0.1] * count, "label": labels,
        "prediction": predictions,
    }  # fmt: skip
    if names is not None:
        rows["label_name"] = [names[i] for i in labels]
        rows["prediction_name"] = [names[i] for i in predictions]
    pq.write_table(pa.table(rows), run.parts.folder / "0.parquet")
    run.gather()
    run.finish({set_name: report}, description, {set_name: None})
    return run


def read(file):
    with file.open() as opened:
        return list(csv.DictReader(opened))


LABELS = [0, 1, 2, 0, 1, 2, 0, 1]
GOOD, BAD = [0, 1, 2, 0, 1, 2, 0, 0], [0, 1, 0, 1, 2, 0, 1, 1]


def test_rows_and_pairs_of_two_runs(diffclf, tmp_path):
    record(tmp_path / "good", LABELS, GOOD)
    record(tmp_path / "bad", LABELS, BAD, digests=list("abcdefgh"))
    out = diffclf("compare", "good", "bad", "--output", "new/table.csv").stdout
    good, bad = read(tmp_path / "new/table.csv")
    assert (good["run"], good["correct"], good["total"], good["family"]) == (
        "good",
        "7",
        "8",
        "Own",
    )
    assert (bad["device"], bad["version"], bad["precision"]) == ("2 x Abacus", "9.9", "32-true")
    assert float(bad["accuracy"]) == 3 / 8
    assert float(good["evaluations_per_image"]) == 3
    (pair,) = read(tmp_path / "new/table-pairs.csv")
    names = ("images", "both_right", "only_first_right", "only_second_right", "neither_right")
    assert [int(pair[name]) for name in names] == [8, 2, 5, 1, 0]
    assert float(pair["p_value"]) == pytest.approx(binomtest(5, 6).pvalue)
    assert pair["p_value_holm"] == pair["p_value"]
    assert float(pair["difference"]) == 0.5
    assert pair["same_pixels"] == "False"
    for text in ("7/8", "3/8", "+50.0", "0.2188", "2 x Abacus", "is not known for all pairs"):
        assert text in " ".join(out.split())
    assert "Holm" not in out


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_a_terminal(diffclf, tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for i, name in enumerate(["a", "a-name-that-is-rather-long-" * 3, "c [red]"]):
        record(tmp_path / name, LABELS * 1000, (GOOD if i else BAD) * 1000)
    out = diffclf("compare", "*", "--output", "o.csv").stdout
    assert all(len(line.rstrip()) <= columns for line in out.splitlines())
    assert "c [red]" in out
    assert "p by" in out


def test_other_images_are_not_tested_unless_asked(diffclf, tmp_path):
    record(tmp_path / "a", LABELS, GOOD)
    record(tmp_path / "b", LABELS[:6], BAD[:6])
    record(tmp_path / "c", LABELS, BAD, keys=[f"other-{i}" for i in range(8)])
    out = diffclf("compare", "a", "b", "c", "--output", "o.csv").stdout
    assert "no test: 6 of the 8 and 6 images are in both; --common tests on those" in out
    assert "no test: 0 of the 8 and 8 images are in both" in out
    assert [row["p_value"] for row in read(tmp_path / "o-pairs.csv")] == ["", "", ""]
    out = diffclf("compare", "a", "b", "c", "--common", "--output", "o.csv").stdout
    pairs = {(row["first"], row["second"]): row for row in read(tmp_path / "o-pairs.csv")}
    assert pairs["a", "b"]["images"] == "6"
    assert pairs["a", "b"]["only_first_right"] == "4"
    assert "on the common images alone" in out
    assert pairs["a", "c"]["p_value"] == ""


def test_labels_decide_by_name_where_both_have_names(diffclf, tmp_path):
    names, turned = ["ant", "bee", "cat"], ["cat", "ant", "bee"]
    place = [1, 2, 0]  # of the names in the turned order
    record(tmp_path / "a", LABELS, GOOD, names=names)
    record(tmp_path / "b", [place[i] for i in LABELS], [place[i] for i in BAD], names=turned)
    diffclf("compare", "a", "b", "--output", "o.csv")
    assert read(tmp_path / "o-pairs.csv")[0]["only_first_right"] == "5"
    record(tmp_path / "c", [place[i] for i in LABELS], [place[i] for i in BAD])
    out = diffclf("compare", "a", "c", "--output", "o.csv").stdout
    assert "no test: 8 of 8 images have another label" in out


def test_images_without_names_of_their_own_are_not_paired(diffclf, tmp_path):
    keys = [f"unordered-0-{i}" for i in range(8)]
    for name in "ab":
        record(tmp_path / name, LABELS, GOOD, keys=keys)
    assert "images without a name" in diffclf("compare", "a", "b").stdout


def test_pairs_of_one_run_and_holm(diffclf, tmp_path):
    for name, predictions in {"a": GOOD, "b": BAD, "c": LABELS}.items():
        record(tmp_path / "runs" / name, LABELS * 9, predictions * 9)
    diffclf("compare", "runs", "--reference", "runs/c", "--output", "o.csv")
    pairs = read(tmp_path / "o-pairs.csv")
    assert [(row["first"], row["second"]) for row in pairs] == [("a", "c"), ("b", "c")]
    low, high = sorted(float(row["p_value"]) for row in pairs)
    adjusted = sorted(float(row["p_value_holm"]) for row in pairs)
    assert adjusted == pytest.approx([2 * low, max(2 * low, high)])


def test_many_pairs_are_in_the_file_alone(diffclf, tmp_path):
    for i in range(9):
        record(tmp_path / f"r{i}", LABELS, GOOD)
    out = diffclf("compare", "r*", "--output", "o.csv").stdout
    assert "36 pairs, in the file alone; --reference RUN" in out
    assert len(read(tmp_path / "o-pairs.csv")) == 36


def test_what_is_no_finished_run_is_named_and_left_out(diffclf, tmp_path):
    record(tmp_path / "runs/good", LABELS, GOOD)
    record(tmp_path / "runs/old", LABELS, GOOD)
    (tmp_path / "runs/old/run.json").write_text('{"layout": 1}')
    record(tmp_path / "runs/torn", LABELS, GOOD)
    (tmp_path / "runs/torn/summary.json").write_text("{")
    record(tmp_path / "runs/on", LABELS, GOOD)
    (tmp_path / "runs/on/summary.json").unlink()
    (tmp_path / "runs/figures").mkdir()
    (tmp_path / "runs/notes.txt").write_text("")
    sources = [str(path) for path in (tmp_path / "runs").iterdir()]
    out = " ".join(diffclf("compare", *sources).stdout.split())
    for said in (
        "runs/old is left out: Expected", "layout 1", "runs/torn is left out: Expected",
        "runs/on is left out: not finished", "runs/figures is left out: no folder of a run",
        "runs/notes.txt is left out: no folder",
    ):  # fmt: skip
        assert said in out
    assert len(read(*(tmp_path / "runs").glob("compare-*/compare.csv"))) == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nothing"], "but got 'nothing', which is not there"),
        (["no*thing"], "but got 'no*thing', which is not there"),
        (["empty"], "empty: no folder of a run"),
        (["good", "--output", "table.txt"], "ends with .csv, but got 'table.txt'"),
        (["good", "--reference", "bad"], "--reference to be one of the runs good"),
    ],
)
def test_bad_input_gets_one_error_and_no_traceback(diffclf, tmp_path, args, message):
    record(tmp_path / "good", LABELS, GOOD)
    (tmp_path / "empty").mkdir()
    out = diffclf("compare", *args, code=2)
    assert "diffclf: error: Expected" in out.stderr
    assert message in out.stderr
    assert not out.stdout


def test_two_real_runs(diffclf, tmp_path):
    """Two models of one data set; the second run is a continued one, of one machine."""
    run = ["test", "--config", "digits", *CHEAP, "--results.folder"]
    diffclf(*run, "runs/l2")
    for _ in range(2):
        diffclf(*run, "runs/l1", "--model.loss=l1")
    diffclf("compare", "runs/*", "--output", "o.csv")
    rows = {row["run"]: row for row in read(tmp_path / "o.csv")}
    (pair,) = read(tmp_path / "o-pairs.csv")
    tables = {n: pq.read_table(tmp_path / "runs" / n / "images.parquet").to_pylist() for n in rows}
    right = {n: [r["label"] == r["prediction"] for r in table] for n, table in tables.items()}
    for name, row in rows.items():
        summary = json.loads((tmp_path / "runs" / name / "summary.json").read_text())
        assert int(row["correct"]) == sum(right[name]) == summary["sets"]["digits"]["correct"]
        assert "thread" in row["device"]
        assert row["version"]
    assert int(pair["both_right"]) == sum(a and b for a, b in zip(*right.values(), strict=True))
    assert pair["same_pixels"] == "True"


@pytest.fixture
def threads():
    """Sets the number of threads, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_machines_of_a_run_do_not_forbid_to_continue_it(tmp_path, threads):
    """Another number of threads is another machine, and is told beside the first."""
    images, labels = torch.rand(4, 1, 8, 8), torch.arange(4)
    loader = DataLoader(TensorDataset(images, labels), batch_size=2)
    classifier = DiffusionClassifier(AutoDenoiser.from_pretrained("diffclf/digits-dit"), Full(1))
    kept = tmp_path / "r"
    for limit, machines in ((1, 1), (2, 2), (2, 2)):
        trainer = Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            callbacks=[ResultsWriter(kept)], limit_test_batches=limit,
        )  # fmt: skip
        threads(limit)
        trainer.test(classifier, loader, verbose=False)
        assert len(json.loads((kept / "run.json").read_text())["machines"]) == machines
