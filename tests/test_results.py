"""Stored rows: continued runs, and never an image twice."""

import json
import math
import shutil
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from lightning.pytorch import Trainer
from stored_runs import gaussians, rows, run, their_means
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    Candidates,
    Classification,
    DiffusionClassifier,
    Full,
    InputError,
)
from diffclf_lightning.answers import Answer, Predictions
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.callbacks import results as results_callback
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.results import RunFolder
from diffclf_lightning.results import tables as results_tables
from diffclf_lightning.tasks import Asked


@pytest.fixture
def denoiser(seed):
    return gaussians()


@pytest.fixture
def data(denoiser):
    return their_means(denoiser)


def test_stored_images_are_not_evaluated_again(denoiser, data, tmp_path):
    first = run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    again = DiffusionClassifier(denoiser, Full(3))
    counted = []
    again.on_evaluations = counted.append
    second = run(again, data, tmp_path)
    assert not counted
    assert second.correct == first.correct
    assert second.total == first.total == len(rows(tmp_path)) == 12


def test_other_data_in_the_same_folder_is_refused(denoiser, data, tmp_path):
    run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    images, labels = data.tensors
    turned = TensorDataset(images.roll(1, 0), labels.roll(1, 0))
    with pytest.raises(InputError, match=r"`results\.folder`"):
        run(DiffusionClassifier(denoiser, Full(3)), turned, tmp_path)
    relabelled = TensorDataset(images, labels.roll(1, 0))
    with pytest.raises(InputError, match="another label"):
        run(DiffusionClassifier(denoiser, Full(3)), relabelled, tmp_path)


def test_stored_answers_do_not_outlive_their_run(denoiser, data, tmp_path):
    classifier = DiffusionClassifier(denoiser, Full(30))
    run(classifier, data, tmp_path)
    run(classifier, data, tmp_path)
    images, labels = data.tensors
    report = run(classifier, TensorDataset(images.roll(1, 0), labels.roll(1, 0)))
    assert report.correct == report.total == 12


@pytest.mark.parametrize(
    "other",
    [
        {"strategy": Full(4)},
        {"loss": "l1"},
        {"seed": 1},
        {"temperature": 2.0},
        {"noise_per_image": True},
        {"candidates": Candidates([2, 1, 0], [0, 1, 2])},
    ],
)
def test_other_configurations_are_refused(denoiser, data, tmp_path, other):
    run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    with pytest.raises(InputError, match="of the same configuration"):
        run(DiffusionClassifier(denoiser, **{"strategy": Full(3), **other}), data, tmp_path)


def test_other_weights_and_schedules_are_refused(denoiser, data, tmp_path):
    run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    means = denoiser.means.detach()
    for other in (GaussianDenoiser(means + 0.1, 0.2), GaussianDenoiser(means, 0.2, max_log_snr=9)):
        with pytest.raises(InputError, match=r"weights|schedule"):
            run(DiffusionClassifier(other, Full(3)), data, tmp_path)


def test_a_run_cut_off_while_its_rows_were_gathered_has_none_twice(denoiser, data, tmp_path):
    run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    (tmp_path / "parts").mkdir()
    shutil.copy(tmp_path / "images.parquet", tmp_path / "parts/000000-rank0.parquet")
    assert run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path).total == 12
    assert len(rows(tmp_path)) == 12
    assert not (tmp_path / "parts").exists()


def test_images_in_an_unknown_order_are_evaluated_again(denoiser, data, tmp_path):
    for _ in range(2):
        report = run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path, shuffle=True)
        assert report.total == len(rows(tmp_path)) == 12


def named(data, **sets):
    """Loaders of the same images under other names, restricted to some labels."""
    loaders = {}
    for name, labels in sets.items():
        images, own = data.tensors
        part = own < (3 if labels is None else len(labels))
        loaders[name] = TensorDataset(images[part], own[part])
        loaders[name].candidate_labels = labels
    return {name: DataLoader(part, batch_size=5) for name, part in loaders.items()}


def run_loaders(denoiser, loaders, folder):
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False,
        callbacks=[ResultsWriter(folder)],
    )  # fmt: skip
    classifier = DiffusionClassifier(denoiser, Full(3))
    trainer.test(classifier, loaders, verbose=False)
    return json.loads((folder / "summary.json").read_text())["sets"]


def test_answers_among_other_candidates_are_refused(denoiser, data, tmp_path):
    run_loaders(denoiser, named(data, a=None), tmp_path)
    with pytest.raises(InputError, match=r"candidates of 'a' was None and is now \[0, 1\]"):
        run_loaders(denoiser, named(data, a=[0, 1]), tmp_path)


def test_sets_of_an_earlier_run_stay_in_the_summary(denoiser, data, tmp_path):
    first = run_loaders(denoiser, named(data, a=None), tmp_path)
    both = run_loaders(denoiser, named(data, b=[0, 1]), tmp_path)
    assert list(both) == ["a", "b"]
    assert both["a"] == first["a"]
    assert both["b"]["candidate_labels"] == [0, 1]
    with pytest.raises(InputError, match="candidates of 'a'"):
        run_loaders(denoiser, named(data, a=[0, 1]), tmp_path)


def test_a_damaged_summary_does_not_cost_a_run(denoiser, data, tmp_path):
    first = run_loaders(denoiser, named(data, a=None), tmp_path)
    (tmp_path / "summary.json").write_text("{")
    again = run_loaders(denoiser, named(data, a=None), tmp_path)
    assert again["a"]["correct"] == first["a"]["correct"]


def test_a_folder_of_the_old_layout_gets_one_clear_error(denoiser, data, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"classifier": "DiffusionClassifier"}))
    with pytest.raises(InputError, match=r"layout 1.*`results.folder`"):
        run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(InputError, match="layout 1"):
        RunFolder(tmp_path).summary()


def test_the_report_is_that_of_the_stored_rows(denoiser, data, tmp_path):
    """Computed from the file by plain Python, whatever the run counted."""
    images, labels = data.tensors
    noisy = (images + 0.3 * torch.randn_like(images)).clamp(0, 1)
    report = run(DiffusionClassifier(denoiser, Full(3)), TensorDataset(noisy, labels), tmp_path)
    stored = rows(tmp_path)
    assert len({(row["set"], row["key"]) for row in stored}) == len(stored) == report.total
    right = [row["label"] == row["prediction"] for row in stored]
    assert report.correct == sum(right)
    assert [row["prediction"] for row in stored] == [
        min(range(3), key=row["scores"].__getitem__) for row in stored
    ]
    likelihoods = [-math.log(row["probabilities"][row["label"]]) for row in stored]
    mean = sum(likelihoods) / len(stored)
    assert report.negative_log_likelihood == pytest.approx(mean, rel=1e-4)
    assert report.evaluations == sum(row["evaluations"] for row in stored) == 12 * 9


def test_reading_back_many_rows_of_many_labels_takes_little(tmp_path):
    """As many rows of 1000 labels as 50,000 would take a fifth of a minute at most."""
    folder = RunFolder(tmp_path)
    folder.begin({}, {})
    images, labels = 5_000, 1000
    answer = Answer(
        torch.arange(labels), {"l2": torch.rand(images, labels)}, torch.rand(images, labels),
        torch.ones(images, labels), torch.full((images,), labels),
    )  # fmt: skip
    task = Classification().bind(Asked(Candidates.from_class_ids(labels)))
    columns = task.columns(answer, {"label": torch.arange(images) % labels})
    columns["evaluations"] = answer.evaluations
    keys = [f"{i:05d}" for i in range(images)]
    folder.add(0, Predictions("test", keys, keys, keys, 0.1, columns), task.schema)
    before = pa.total_allocated_bytes()
    stored = folder.completed(task.measured)["test"]
    assert len(stored) == images
    assert stored.place("00007") == 7
    assert "scores" not in stored.rows.schema.names
    assert pa.total_allocated_bytes() - before < 20_000 * images / 50


def test_rows_are_gathered_a_bounded_number_at_once(denoiser, data, tmp_path, monkeypatch):
    """The latest of each sample, whatever file it is in."""
    monkeypatch.setattr(results_tables, "AT_ONCE", 2)
    run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path, errors=True)
    whole = {row["key"]: row for row in rows(tmp_path)}
    assert max(len(part) for part in RunFolder(tmp_path).batches()) == 2
    table = pq.read_table(tmp_path / "images.parquet")
    (tmp_path / "parts").mkdir()
    later = table.slice(0, 3)
    place = later.schema.get_field_index("seconds")
    later = later.set_column(place, "seconds", pa.array([7.0] * 3))
    pq.write_table(later, tmp_path / "parts/000000-rank0.parquet")
    run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path, errors=True)
    again = {row["key"]: row for row in rows(tmp_path)}
    assert again.keys() == whole.keys()
    assert sum(row["seconds"] == 7.0 for row in again.values()) == 3
    for key, row in again.items():
        assert {**row, "seconds": 0} == {**whole[key], "seconds": 0}


def test_runs_of_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    class Noon(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 1, 12)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(results_callback, "datetime", Noon)
    folders = []
    for _ in range(3):
        folders.append(ResultsWriter().chosen())
        folders[-1].mkdir(parents=True)
    first = "runs/run-20260101-120000"
    assert [str(folder) for folder in folders] == [first, f"{first}-2", f"{first}-3"]
    assert ResultsWriter(first).chosen() == folders[0]
