"""Answers by several losses of one run, through a real Trainer and on disk."""

import json

import pyarrow.parquet as pq
import pytest
import tiny
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import DiffusionClassifier, Full, InputError, Staged
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.evaluation import ElementwiseLoss, l1

OTHERS = ["l1", "bound", "l2+bound"]


@pytest.fixture
def data(seed):
    return TensorDataset(torch.rand(14, 3, 16, 16), torch.arange(14) % 5)


def trainer(*callbacks):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return Trainer(
        accelerator="cpu", enable_checkpointing=False, callbacks=list(callbacks), **quiet
    )


def run(classifier, data, folder, batch_size=4):
    loader = DataLoader(data, batch_size=batch_size)
    (logged,) = trainer(ResultsWriter(folder)).test(classifier, loader, verbose=False)
    rows = pq.read_table(folder / "images.parquet").sort_by("key").to_pylist()
    summary = json.loads((folder / "summary.json").read_text())["sets"]["test"]
    return logged, rows, summary


def classifier(strategy=None, loss="l2", other_losses=OTHERS):
    strategy = strategy or Full(3)
    return DiffusionClassifier(tiny.dit_with_vae(), strategy, loss, other_losses)


def test_one_run_answers_as_a_run_of_each_loss(data, tmp_path):
    together = classifier()
    logged, rows, summary = run(together, data, tmp_path / "together")
    assert list(summary["others"]) == OTHERS
    for name in OTHERS:
        alone = classifier(loss=name, other_losses=())
        other_logged, other_rows, other_summary = run(alone, data, tmp_path / name)
        mine, theirs = summary["others"][name], other_summary
        assert mine == {k: theirs[k] for k in ("correct", "total", "accuracy", "interval")}
        assert logged[f"test/accuracy_{name}"] == other_logged["test/accuracy"]
        for row, other in zip(rows, other_rows, strict=True):
            assert dict(row["other_predictions"])[name] == other["prediction"]
            scores = dict(row["other_scores"])[name]
            assert scores == pytest.approx(other["scores"], abs=1e-5)
        assert other_rows[0]["other_predictions"] == other_rows[0]["other_scores"] == []
        assert other_summary["others"] == {}


def test_counts_are_those_of_the_stored_predictions(data, tmp_path):
    strategy = Staged((2, 4), (3, 1))
    _, rows, summary = run(classifier(strategy), data, tmp_path)
    for name in OTHERS:
        right = sum(dict(row["other_predictions"])[name] == row["label"] for row in rows)
        assert (summary["others"][name]["correct"], summary["total"]) == (right, 14)
    assert {row["evaluations"] for row in rows} == {strategy.evaluations(5)}
    for row in rows:  # only candidates that met all trials can win
        counts = row["counts"]
        assert {counts[label] for _, label in row["other_predictions"]} == {4}
        for name, scores in row["other_scores"]:  # and the lowest score is the answer
            assert scores.index(min(scores)) == dict(row["other_predictions"])[name]


def test_continued_runs_keep_them(data, tmp_path):
    _, whole, summary = run(classifier(), data, tmp_path)
    pq.write_table(
        pq.read_table(tmp_path / "images.parquet").slice(3, 6), tmp_path / "images.parquet"
    )
    again = classifier()
    evaluated = []
    again.on_evaluations = evaluated.append
    _, rows, after = run(again, data, tmp_path)
    assert sum(evaluated) == (14 - 6) * 15
    assert after["others"] == summary["others"]
    for name in ("other_predictions", "key"):
        assert [row[name] for row in rows] == [row[name] for row in whole]
    _, rows, after = run(classifier(), data, tmp_path)
    assert after["others"] == summary["others"]
    with pytest.raises(InputError, match="its losses was"):
        run(classifier(other_losses=["l1"]), data, tmp_path)


def test_unreadable_images_are_left_out_for_all(data, tmp_path):
    images, labels = data.tensors
    samples = [
        {"image": image, "label": label, "readable": i not in (2, 7)}
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    _, _, summary = run(classifier(), samples, tmp_path)
    assert summary["skipped"] == 2
    assert {count["total"] for count in summary["others"].values()} == {12}


def test_predict_and_validate_answer_by_all(data):
    loader = DataLoader(data, batch_size=14)
    keeping = classifier()
    keeping.keep_errors = True
    (out,) = trainer().predict(keeping, loader)
    assert list(out["other_scores"]) == OTHERS
    for name, scores in out["other_scores"].items():
        means = out.table.dense(name).mean(dim=-1)
        assert torch.equal(out["other_predictions"][name], means.argmin(dim=1))
        assert torch.allclose(scores, means, atol=1e-6)
    (logged,) = trainer().validate(classifier(), loader, verbose=False)
    assert {f"val/accuracy_{name}" for name in OTHERS} <= set(logged)


def test_a_function_and_an_object_are_other_losses(data, tmp_path):
    mine = ElementwiseLoss(lambda truth, prediction: 2 * l1(truth, prediction), name="mine")
    _, rows, summary = run(classifier(other_losses=[l1, mine]), data, tmp_path)
    assert list(summary["others"]) == ["l1", "mine"]
    for row in rows:
        scores = dict(row["other_scores"])
        assert scores["mine"] == pytest.approx([2 * score for score in scores["l1"]], abs=1e-5)


@pytest.mark.parametrize(
    "arguments", [{"loss": "bound"}, {"other_losses": ["l1", "bound"]}, {"loss": "l2+bound"}]
)
def test_a_bound_without_a_variance_is_refused(arguments):
    with pytest.raises(InputError, match=r"variance for loss '(l2\+)?bound', but got Gaussian"):
        DiffusionClassifier(GaussianDenoiser(torch.zeros(2, 1, 4, 4)), **arguments)


def test_the_same_loss_twice_is_refused():
    with pytest.raises(InputError, match="'l2' twice"):
        classifier(other_losses=["l1", "l2"])
