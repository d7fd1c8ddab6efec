"""What is read of rows, against scikit-learn, torchmetrics and plain loops."""

import json
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from made import make_run
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from diffclf_lightning.report.contents import read_run, read_runs
from diffclf_lightning.report.measures import FEW, confused_pairs, confusion, reliability
from diffclf_lightning.report.names import Names
from diffclf_lightning.results import RunFolder


@pytest.fixture
def folder(tmp_path, seed):
    return make_run(tmp_path / "run", ("own", "other"), images=60, trials=8)


@pytest.fixture
def rows(folder):
    return [row for row in RunFolder(folder).rows(None).to_pylist() if row["set"] == "own"]


@pytest.fixture
def contents(folder):
    return read_run(folder, "run").sets["own"]


def test_measures_agree_with_other_packages(rows, contents):
    label, prediction = ([row[n] for row in rows] for n in ("label", "prediction"))
    probabilities = np.array([row["probabilities"] for row in rows])
    report = contents.report()
    assert report.accuracy == pytest.approx(accuracy_score(label, prediction))
    interval = binomtest(report.correct, len(rows)).proportion_ci(0.995, "exact")
    assert (report.interval.lower, report.interval.upper) == pytest.approx(tuple(interval))
    balanced = balanced_accuracy_score(label, prediction)
    assert report.mean_per_class_accuracy == pytest.approx(balanced)
    assert report.negative_log_likelihood == pytest.approx(log_loss(label, probabilities), rel=1e-4)
    expected = multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(label), num_classes=4, n_bins=15
    )
    assert report.calibration_error == pytest.approx(expected.item(), abs=1e-5)
    assert contents["seconds"].sum() == pytest.approx(sum(row["seconds"] for row in rows))


def test_the_dots_of_the_diagram_make_its_calibration_error(contents):
    bins = reliability(contents)
    assert sum(each.count for each in bins) == len(contents)
    gaps = sum(each.count * abs(each.confidence - each.accuracy) for each in bins)
    expected = contents.report().calibration_error
    assert gaps / len(contents) == pytest.approx(expected, abs=1e-5)
    assert all(each.interval.lower <= each.accuracy <= each.interval.upper for each in bins)


def test_confusion_is_that_of_scikit_learn(rows, contents):
    label, prediction = ([row[n] for row in rows] for n in ("label", "prediction"))
    found = confusion(contents, Names(["a", "b", "c", "d"]))
    assert found.names == ["a", "b", "c", "d"]
    assert (found.counts == confusion_matrix(label, prediction)).all()
    assert found.shares().sum(axis=1) == pytest.approx(np.ones(4))


def test_pairs_are_those_confused_most(rows, contents):
    wrong = Counter(
        (str(row["label"]), str(row["prediction"]))
        for row in rows
        if row["label"] != row["prediction"]
    )
    total = Counter(str(row["label"]) for row in rows)
    pairs = confused_pairs(contents, Names(), most=100)
    assert {(pair.truth, pair.answer): pair.count for pair in pairs} == dict(wrong)
    assert all(pair.total == total[pair.truth] for pair in pairs)
    counts = [pair.count for pair in pairs]
    assert counts == sorted(counts, reverse=True)
    assert confused_pairs(contents, Names(), most=2) == pairs[:2]


def test_many_labels_have_no_matrix(tmp_path, seed):
    labels = 3 * FEW
    run = read_run(make_run(tmp_path, images=200, labels=labels, trials=2, pictures=False), "run")
    assert confusion(run.sets["own"], run.names) is None
    assert confused_pairs(run.sets["own"], run.names)


def test_survivors_and_undecided_by_hand(rows, contents):
    for trial in range(8):
        met = [sum(count > trial for count in row["counts"]) for row in rows]
        assert contents.survivors[trial] == pytest.approx(np.mean(met))
    assert len(contents.survivors) == 8
    by_key = dict(zip(contents.keys, contents.undecided.tolist(), strict=True))
    for row in rows:
        best, second = np.argsort(row["scores"], kind="stable")[:2]
        margin = row["scores"][second] - row["scores"][best]
        assert by_key[row["key"]] == (margin <= row["standard_errors"][second])
    assert 0 < sum(by_key.values()) < len(rows)


def test_without_standard_errors_confidence_tells_who_is_undecided(contents):
    contents.spread[:] = np.nan
    assert (contents.undecided == (contents["confidence"] < 0.5)).all()


def test_contents_do_not_depend_on_the_order_of_rows(folder, contents):
    table = pq.read_table(folder / "images.parquet")
    pq.write_table(table.take(list(range(len(table)))[::-1]), folder / "images.parquet")
    again = read_run(folder, "run").sets["own"]
    assert again.keys == contents.keys
    for name, values in contents.columns.items():
        assert (again[name] == values).all()
    assert (again.survivors == contents.survivors).all()


def test_rows_carry_names_where_the_run_has_none(tmp_path, seed):
    folder = make_run(tmp_path / "run", classnames=["ant", "bee", "cat", "dog"])
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**content, "classnames": None}))
    names = read_run(folder, "run").names
    assert [names[label] for label in (0, 3, 17)] == ["ant", "dog", "17"]


def test_runs_of_one_name_are_told_apart(tmp_path, seed):
    folders = [make_run(tmp_path / parent / "run", images=4) for parent in ("a", "b")]
    assert [run.name for run in read_runs(folders)] == [str(folder) for folder in folders]
    assert [run.name for run in read_runs(folders[:1])] == ["run"]
