"""What ``diffclf calibrate`` fits for a shortlist: the bias of its scores, and how many to keep."""

import json
import re

import numpy as np
import pytest
import torch
from running import quiet_trainer
from scipy import stats
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    DiffusionClassifier,
    Full,
    GoldenGrid,
    GradientShortlist,
    InputError,
    Racing,
    calibrate,
)
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.results import RunFolder

CLASSES, IMAGES, TRIALS = 20, 120, 12


def evaluated(denoiser, data, folder, strategy, shortlist, **kwargs):
    classifier = DiffusionClassifier(
        denoiser, strategy, shortlist=shortlist, evaluations_per_batch=4096, **kwargs
    )
    trainer = quiet_trainer(callbacks=[ResultsWriter(folder, errors=True)])
    trainer.test(classifier, DataLoader(data, batch_size=60), verbose=False)
    rows = RunFolder(folder).rows(
        ["label", "prediction", "counts", "scores", "shortlist_scores", "shortlist_rank"]
    )
    return {name: np.array(rows[name].to_pylist()) for name in rows.schema.names}


@pytest.fixture
def denoiser(seed):
    means = torch.rand(CLASSES, 1, 4, 4) * 1.6 - 0.8
    return GaussianDenoiser(means * torch.linspace(0.4, 1, CLASSES).view(-1, 1, 1, 1), std=0.3)


@pytest.fixture
def data(denoiser):
    labels = torch.arange(IMAGES) % CLASSES
    x_0 = denoiser.means[labels] + 0.3 * torch.randn(IMAGES, 1, 4, 4)
    return TensorDataset((x_0.clamp(-1, 1) + 1) / 2, labels)


@pytest.fixture
def full(denoiser, data, tmp_path):
    strategy, shortlist = Full(TRIALS), GradientShortlist(trials=2)
    rows = evaluated(denoiser, data, tmp_path / "full", strategy, shortlist, grid=GoldenGrid())
    return tmp_path / "full", rows


def test_a_later_run_takes_the_mean_scores_off(full, denoiser, data, tmp_path, capsys):
    folder, rows = full
    assert (rows["evaluations"] == CLASSES * TRIALS + 4).all()
    calibrate.main([str(folder)])
    assert "Mean score of 20 candidates by GradientShortlist(trials=2)" in capsys.readouterr().out
    fitted = json.loads((folder / "calibration.json").read_text())
    mean = rows["shortlist_scores"].mean(axis=0)
    stored = [fitted["bias"][str(name)] for name in range(CLASSES)]
    np.testing.assert_allclose(stored, mean, rtol=1e-4, atol=1e-7)
    assert fitted["keep"] is None
    shortlist = GradientShortlist(keep=5, trials=2, calibration=folder)
    later = evaluated(denoiser, data, tmp_path / "later", Full(4), shortlist)
    order = (later["shortlist_scores"] - mean).argsort(axis=1, kind="stable")
    for row, first in zip(later["counts"], order[:, :5], strict=True):
        assert set(np.flatnonzero(row)) == set(first)
    place = [list(one).index(label) for one, label in zip(order, rows["label"], strict=True)]
    assert later["shortlist_rank"].tolist() == place


def test_the_number_to_keep_is_the_last_within_the_rate(full, denoiser, data, tmp_path, capsys):
    """By a plain loop: each image ranked less the mean over the others, then raced."""
    folder, rows = full
    calibrate.main([str(folder), "--error-rate", "0.08"])
    said = capsys.readouterr().out
    keep = json.loads((folder / "calibration.json").read_text())["keep"]
    scores = rows["shortlist_scores"].astype(np.float64)
    others = (scores.sum(axis=0) - scores) / (IMAGES - 1)
    ranks = (scores - others).argsort(axis=1, kind="stable").argsort(axis=1)
    keeps, kept = [], CLASSES
    while kept > 1:
        kept = min(kept - 1, int(kept / 1.25))
        keeps.append(kept)
    race = Racing(max_trials=TRIALS)
    lost = [int((ranks[np.arange(IMAGES), rows["prediction"]] >= k).sum()) for k in keeps]
    within = [stats.binom.cdf(count, IMAGES, 0.08) <= 0.1 for count in lost]
    # What a shortlist loses alone is at most what the race after it gets wrong.
    assert keep in keeps
    assert all(within[: keeps.index(keep) + 1])
    shortlist = GradientShortlist(trials=2, calibration=folder)
    later = evaluated(denoiser, data, tmp_path / "later", race, shortlist, calibration=folder)
    assert ((later["counts"] > 0).sum(axis=1) == keep).all()
    differs = int((later["prediction"] != rows["prediction"]).sum())
    wrong, spent = map(int, re.search(r"it does on (\d+), and takes (\d+) eval", said).groups())
    assert abs(differs - wrong) <= 2  # an image's own score is in the mean of a later run
    assert stats.binom.cdf(wrong, IMAGES, 0.08) <= 0.1
    assert later["evaluations"].mean() == pytest.approx(spent, rel=0.03, abs=1)
    assert f"Keep {keep} of 20 candidates, level 0.02" in said


def test_a_calibration_belongs_to_its_shortlist(full, denoiser, data, tmp_path):
    folder, _ = full
    calibrate.main([str(folder)])
    with pytest.raises(InputError, match=r"fitted for GradientShortlist\(trials=2\)"):
        GradientShortlist(trials=3, calibration=folder)
    more = GaussianDenoiser(torch.rand(CLASSES + 1, 1, 4, 4))
    with pytest.raises(InputError, match="does not know '20'"):
        evaluated(
            more, data, tmp_path / "more", Full(2), GradientShortlist(trials=2, calibration=folder)
        )
    evaluated(denoiser, data, tmp_path / "none", Full(2), None)
    calibrate.main([str(tmp_path / "none")])
    with pytest.raises(InputError, match="had none"):
        GradientShortlist(calibration=tmp_path / "none")
