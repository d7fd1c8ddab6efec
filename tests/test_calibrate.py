"""The level of a race: what may be stated of it, and how a later run takes it."""

import json
import math
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    DiffusionClassifier,
    ExponentialWeight,
    Full,
    GoldenGrid,
    InformativeGrid,
    InputError,
    Racing,
    Staged,
    UniformGrid,
    WeightedError,
    calibrate,
)
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.metrics import fit_temperature, images_needed, last_within
from diffclf_lightning.results import RunFolder, stored_errors

TRIALS, IMAGES = 40, 150


def evaluated(denoiser, data, folder, strategy, **kwargs):
    classifier = DiffusionClassifier(denoiser, strategy, evaluations_per_batch=4096, **kwargs)
    writer = ResultsWriter(folder, errors=True)
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[writer],
        enable_progress_bar=False,
    )  # fmt: skip
    trainer.test(classifier, DataLoader(data, batch_size=50), verbose=False)
    return RunFolder(folder).rows(["label", "prediction", "scores"])


@pytest.fixture
def denoiser(seed):
    return GaussianDenoiser(torch.rand(6, 1, 4, 4) * 1.2 - 0.6, std=0.3)


@pytest.fixture
def data(denoiser):
    labels = torch.arange(IMAGES) % 6
    x_0 = denoiser.means[labels] + 0.3 * torch.randn(IMAGES, 1, 4, 4)
    return TensorDataset((x_0.clamp(-1, 1) + 1) / 2, labels)


@pytest.fixture
def full(denoiser, data, tmp_path):
    """A run with all errors in the order of a race, and its rows."""
    rows = evaluated(denoiser, data, tmp_path / "full", Full(TRIALS), grid=GoldenGrid())
    return tmp_path / "full", rows


def test_images_needed_are_the_fewest_that_can_show_an_error_rate():
    for rate, confidence in ((0.01, 0.9), (0.02, 0.95), (0.3, 0.5)):
        needed = images_needed(rate, confidence)
        assert last_within([0], needed, rate, confidence) == 0
        assert last_within([0], needed - 1, rate, confidence) is None


def test_a_choice_beyond_the_bound_is_seldom_taken(seed):
    """Of choices that grow worse, one whose error rate is too high, at most one time in ten."""
    random, images, bound = np.random.default_rng(seed), 200, 0.05
    rates = np.array([0.01, 0.03, 0.049, 0.0501, 0.08, 0.2])
    beyond = 0
    for _ in range(2000):
        wrong = (random.random(images)[:, None] < rates).sum(axis=0)  # errors of one are of all
        place = last_within(wrong.tolist(), images, bound, 0.9)
        beyond += place is not None and rates[place] > bound
    assert beyond <= 0.1 * 2000 + 4 * math.sqrt(2000 * 0.09)
    assert last_within([200, 0], 200, bound, 0.9) is None


def test_a_later_race_does_what_was_said_of_its_level(full, denoiser, data, tmp_path, capsys):
    folder, rows = full
    calibrate.main([str(folder), "--error-rate", "0.05"])
    said = capsys.readouterr().out
    fitted = json.loads((folder / "calibration.json").read_text())
    assert fitted["level"] in calibrate.LEVELS
    assert fitted["images"] == IMAGES
    assert "at most 5% with 90% confidence" in said
    later = evaluated(
        denoiser, data, tmp_path / "later", Racing(max_trials=TRIALS), calibration=folder
    )
    strategy = RunFolder(tmp_path / "later").description()["strategy"]
    assert strategy.startswith(f"Racing(level={fitted['level']:g}, ")
    differs = sum(a != b for a, b in zip(rows["prediction"], later["prediction"], strict=True))
    evaluations = np.mean(later["evaluations"].to_numpy())
    wrong, spent = re.search(r"it does on (\d+), and takes (\d+) evaluations", said).groups()
    assert (differs, round(evaluations)) == (int(wrong), int(spent))
    assert last_within([differs], IMAGES, 0.05, 0.9) == 0
    assert evaluations < 0.6 * 6 * TRIALS
    scores = torch.tensor(later["scores"].to_pylist())
    labels = torch.tensor(later["label"].to_pylist())
    assert fitted["temperature"] == pytest.approx(fit_temperature(scores, labels), rel=1e-3)


def test_a_level_belongs_to_its_race(full, denoiser):
    folder, _ = full
    calibrate.main([str(folder), "--error-rate", "0.05", "--confidence", "0.8"])
    level = json.loads((folder / "calibration.json").read_text())["level"]

    def taken(strategy, **kwargs):
        return DiffusionClassifier(denoiser, strategy, calibration=folder, **kwargs)

    race = Racing(max_trials=TRIALS)
    settled = taken(race)
    assert settled.strategy.level == level
    assert settled.settled_arguments()["strategy"].level == level
    assert (race.level, taken(race.at(level)).strategy.level) == (0.02, level)
    assert isinstance(taken(Full(8)).strategy, Full)
    other = 0.011
    for wrong, strategy, kwargs in (
        ("max_trials=50", Racing(max_trials=50), {}),
        ("growth=2", Racing(max_trials=TRIALS, growth=2), {}),
        ("offset=0.1", race, {"grid": GoldenGrid(0.1)}),
        ("seed=3", race, {"seed": 3}),
        ("`level`.*0.011", race.at(other), {}),
    ):
        with pytest.raises(InputError, match=wrong):
            taken(strategy, **kwargs)
    calibrate.main([str(folder)])  # the temperature alone: any race may take it
    assert taken(race.at(other)).strategy.level == other


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--error-rate", "0.01"], f"at least 230 images.*got {IMAGES}"),
        (["--error-rate", "0"], "--error-rate above 0"),
        (["--error-rate", "0.1", "--confidence", "1"], "--confidence above 0 and below 1"),
        (["--confidence", "0.9"], "no --error-rate"),
    ],
)
def test_what_cannot_be_calibrated_is_said(full, arguments, said):
    folder, _ = full
    with pytest.raises(InputError, match=said):
        calibrate.main([str(folder), *arguments])
    assert not (folder / "calibration.json").exists()


@pytest.mark.parametrize(
    ("strategy", "kwargs", "said"),
    [
        (Full(4), {}, "in that of NestedGrid.*--model.grid GoldenGrid"),
        (Staged((2, 4), (2, 1)), {"grid": GoldenGrid()}, "--model.strategy Full"),
        (
            Full(4),
            {"grid": GoldenGrid(), "score": WeightedError(ExponentialWeight(), loss="l2")},
            "mean of a loss",
        ),
    ],
)
def test_a_run_that_shows_no_race_is_refused(strategy, kwargs, said, denoiser, data, tmp_path):
    evaluated(denoiser, data, tmp_path / "run", strategy, **kwargs)
    with pytest.raises(InputError, match=said):
        calibrate.main([str(tmp_path / "run"), "--error-rate", "0.5"])


def test_a_run_without_errors_is_refused(tmp_path):
    with pytest.raises(InputError, match="stored errors"):
        calibrate.main([str(tmp_path), "--error-rate", "0.5"])


@pytest.fixture
def informative(full):
    """The folder of a run with the errors of all trials, once its informative times are known."""
    folder, _ = full
    calibrate.main([str(folder), "--informative"])
    return folder


def test_density_is_half_uniform_half_what_a_time_says(informative, full, capsys):
    """By a plain loop over images, rivals and trials."""
    density = json.loads((informative / "calibration.json").read_text())["density"]
    assert len(density) == 20
    assert np.mean(density) == pytest.approx(1, abs=1e-4)
    behind = [[] for _ in density]
    times = [float(Fraction(t)) for t in RunFolder(informative).description()["trials"]["time"]]
    for _, _, table in stored_errors(RunFolder(informative)):
        for errors in table.dense("l2").double().numpy():
            best = errors.mean(axis=1).argmin()
            for c in set(range(6)) - {best}:
                for time, difference in zip(times, errors[c] - errors[best], strict=True):
                    behind[int(time * 20)].append(difference)
    says = np.array([max(np.mean(d), 0) ** 2 / np.var(d) for d in behind])
    assert density == pytest.approx(0.5 + 0.5 * says / says.mean(), abs=1e-4)
    first = [says[int(float(time) * 20)] for time in InformativeGrid(informative).order((40,))[0]]
    assert np.mean(first[:10]) > 1.1 * says.mean()
    calibrate.main([str(informative), "--informative"])
    most = int(np.argmax(density))
    assert f"Times from {most / 20:g} to {(most + 1) / 20:g} tell" in capsys.readouterr().out


def test_a_level_belongs_to_the_order_that_it_was_fitted_in(informative, denoiser, data, tmp_path):
    grid = InformativeGrid(informative)
    evaluated(denoiser, data, tmp_path / "again", Full(TRIALS), grid=grid)
    calibrate.main([str(tmp_path / "again"), "--error-rate", "0.1"])
    level = json.loads((tmp_path / "again/calibration.json").read_text())["level"]

    def taken(calibration, grid):
        race = Racing(max_trials=TRIALS)
        return DiffusionClassifier(denoiser, race, grid=grid, calibration=calibration).strategy

    assert taken(tmp_path / "again", InformativeGrid(density=grid.density)).level == level
    for other in (None, InformativeGrid(density=[1, 2])):
        with pytest.raises(InputError, match=r"this race.*fitted for.*InformativeGrid\(density"):
            taken(tmp_path / "again", other)
    calibrate.main([str(informative), "--error-rate", "0.1", "--informative"])
    with pytest.raises(InputError, match=r"fitted for .*GoldenGrid"):
        taken(informative, grid)


def test_no_density_without_times_in_all_parts(denoiser, data, tmp_path):
    evaluated(denoiser, data, tmp_path / "run", Full(30), grid=UniformGrid(timesteps=5))
    with pytest.raises(InputError, match="each of 20 equal parts"):
        calibrate.main([str(tmp_path / "run"), "--informative"])
