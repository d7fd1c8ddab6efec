"""Stored errors and what is fitted on rows: scored again, calibrated, continued."""

import json

import pyarrow.parquet as pq
import pytest
import torch
from lightning.pytorch import Trainer
from stored_runs import gaussians, rows, run, their_means
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
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
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.results import RunFolder
from diffclf_lightning.score import rescored


@pytest.fixture
def denoiser(seed):
    return gaussians()


@pytest.fixture
def data(denoiser):
    return their_means(denoiser)


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


@pytest.mark.parametrize(
    "command", [["score", "nowhere", "--score=MeanError"], ["calibrate", "nowhere"]]
)
def test_a_run_that_is_not_there_is_said(diffclf, command):
    assert "there is no such folder as 'nowhere'" in diffclf(*command, code=2).stderr
