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
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    Candidates,
    Classification,
    DiffusionClassifier,
    ExponentialWeight,
    Full,
    InputError,
    MeanError,
    RelativeToReference,
    Staged,
    WeightedError,
    calibrate,
)
from diffclf_lightning.answers import Answer, Predictions
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.callbacks import results as results_callback
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.results import RunFolder
from diffclf_lightning.results import folder as results_folder
from diffclf_lightning.score import rescored
from diffclf_lightning.tasks import Asked


@pytest.fixture
def denoiser(seed):
    return GaussianDenoiser(torch.rand(3, 1, 4, 4) * 1.6 - 0.8, std=0.2)


@pytest.fixture
def data(denoiser):
    labels = torch.arange(3).repeat(4)
    images = (denoiser.means.detach()[labels] + 1) / 2
    return TensorDataset(images, labels)


def run(classifier, data, folder=None, errors=False, **kwargs):
    writer = [ResultsWriter(folder, errors=errors)] if folder else []
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=writer)
    trainer.test(classifier, DataLoader(data, batch_size=5, **kwargs), verbose=False)
    return classifier.reports["test"]


def rows(folder):
    return pq.read_table(folder / "images.parquet").to_pylist()


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


@pytest.mark.parametrize("relative", [False, True])
def test_stored_errors_answer_again_without_a_model(denoiser, data, tmp_path, relative):
    """Every score of the stored errors is the one that a run of that score gives."""
    images, labels = data.tensors
    noisy = TensorDataset((images + 0.3 * torch.randn_like(images)).clamp(0, 1), labels)
    scores = [MeanError("l1"), WeightedError(ExponentialWeight(3.0), "l2_x_0")]
    scores += [RelativeToReference(score) for score in scores] if relative else []
    kept = DiffusionClassifier(
        denoiser,
        Full(6),
        other_losses=["l1", "l2_x_0"],
        score=RelativeToReference() if relative else None,
        temperature=5.0,
    )
    run(kept, noisy, tmp_path / "kept", errors=True)
    for place, score in enumerate(scores):
        again = rescored(RunFolder(tmp_path / "kept"), score, temperature=5.0)["test"]
        direct = DiffusionClassifier(denoiser, Full(6), score=score, temperature=5.0)
        whole = run(direct, noisy, tmp_path / str(place))
        assert again.correct == whole.correct
        nll = whole.negative_log_likelihood
        assert again.negative_log_likelihood == pytest.approx(nll, rel=1e-4)
    with pytest.raises(InputError, match="'huber'"):
        rescored(RunFolder(tmp_path / "kept"), MeanError("huber"))
    with pytest.raises(InputError, match="errors"):
        rescored(RunFolder(tmp_path / "0"), MeanError())


def test_stored_errors_take_memory_for_what_was_evaluated(denoiser, data, tmp_path):
    run(DiffusionClassifier(denoiser, Staged((1, 4), (2, 1))), data, tmp_path, errors=True)
    description = json.loads((tmp_path / "run.json").read_text())
    assert len(description["trials"]["time"]) == len(description["trials"]["alpha"]) == 4
    for row in rows(tmp_path):
        assert sorted(row["trial_counts"]) == [1, 4, 4]
        ((loss, errors),) = row["errors"]
        assert (loss, len(errors)) == ("l2", sum(row["trial_counts"]))


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


def test_calibrate_fits_what_validate_logs_and_a_later_run_takes(denoiser, data, tmp_path, capsys):
    images, labels = data.tensors
    wrong = torch.where(torch.arange(12) % 4 == 0, (labels + 1) % 3, labels)
    noisy = TensorDataset(images, wrong)
    classifier = DiffusionClassifier(denoiser, validation_strategy=Full(4))
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False,
        callbacks=[ResultsWriter(tmp_path / "val")],
    )  # fmt: skip
    (logged,) = trainer.validate(classifier, DataLoader(noisy, batch_size=5), verbose=False)
    calibrate.main([str(tmp_path / "val")])
    assert "Temperature" in capsys.readouterr().out
    later = DiffusionClassifier(denoiser, calibration=tmp_path / "val")
    assert later.temperature == pytest.approx(logged["val/temperature"], rel=1e-6)
    scores = torch.tensor([row["scores"] for row in rows(tmp_path / "val")], dtype=torch.float64)
    truth = torch.tensor([row["label"] for row in rows(tmp_path / "val")])

    def nll(temperature):
        return float(torch.nn.functional.cross_entropy(-temperature * scores, truth))

    assert nll(later.temperature) <= min(nll(later.temperature * f) for f in (0.8, 1.25)) + 1e-9
    with pytest.raises(InputError, match=r"`calibration` .*'l1'"):
        DiffusionClassifier(denoiser, loss="l1", calibration=tmp_path / "val")
    with pytest.raises(InputError, match="RUN"):
        calibrate.main([str(tmp_path / "nothing")])


def test_filling_of_passes_is_stored_and_its_share_is_that_of_the_rows(denoiser, data, tmp_path):
    """Rows of an earlier version, without it, are continued, and count as not known."""
    strategy = Staged((8, 10), (2, 1))  # of 5 images and then of 2: rounds of 24 and 4, an image

    def classifier():
        return DiffusionClassifier(denoiser, strategy, evaluations_per_batch=50)

    run(classifier(), data, tmp_path / "whole")
    whole = rows(tmp_path / "whole")
    assert [sum(row["underfilled"] for row in whole), sum(row["repeats"] for row in whole)] == [
        12 * 4, 0
    ]  # fmt: skip
    summary = RunFolder(tmp_path / "whole").summary()["sets"]["test"]
    assert summary["underfilled_share"] == pytest.approx(4 / 28)
    assert summary["padded_share"] == 0
    table = pq.read_table(tmp_path / "whole/images.parquet")
    earlier = table.drop_columns(["underfilled", "repeats"]).slice(0, 5)
    pq.write_table(earlier, tmp_path / "whole/images.parquet")
    run(classifier(), data, tmp_path / "whole")
    again = rows(tmp_path / "whole")
    assert [row["underfilled"] is None for row in again] == [i < 5 for i in range(12)]
    summary = RunFolder(tmp_path / "whole").summary()["sets"]["test"]
    assert summary["total"] == 12
    assert summary["underfilled_share"] == pytest.approx(4 / 28)


def test_a_run_with_errors_is_not_continued_without(denoiser, data, tmp_path):
    run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path, errors=True)
    with pytest.raises(InputError, match="errors was True"):
        run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)


def test_rows_are_gathered_a_bounded_number_at_once(denoiser, data, tmp_path, monkeypatch):
    """The latest of each sample, whatever file it is in."""
    monkeypatch.setattr(results_folder, "AT_ONCE", 2)
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


def test_a_temperature_belongs_to_its_score(denoiser, data, tmp_path):
    kept = DiffusionClassifier(denoiser, Full(3), other_losses=["l1"], temperature=50.0)
    run(kept, data, tmp_path, errors=True)
    own, other = (
        rescored(RunFolder(tmp_path), MeanError(loss))["test"].negative_log_likelihood
        for loss in ("l2", "l1")
    )
    scores = torch.tensor([dict(row["other_scores"])["l1"] for row in rows(tmp_path)]).double()
    truth = torch.tensor([row["label"] for row in rows(tmp_path)])
    expected = torch.nn.functional.cross_entropy(-scores, truth).item()
    assert other == pytest.approx(expected, rel=1e-5)
    assert own < other
    with pytest.raises(InputError, match="--temperature"):
        rescored(RunFolder(tmp_path), MeanError("l2"), -5.0)


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
