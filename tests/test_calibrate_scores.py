"""What ``diffclf calibrate`` learns of stored errors, and how later runs take it."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from planted import LABELS, plant

from diffclf_lightning import (
    GoldenGrid,
    InputError,
    LearnedWeights,
    WithoutBias,
    calibrate,
)
from diffclf_lightning.evaluation import part_of
from diffclf_lightning.metrics import fit_temperature, fit_time_weights
from diffclf_lightning.results import RunFolder

IMAGES, TRIALS = 60, 40
TIMES = GoldenGrid().order((TRIALS,))[0]
MIDDLE = torch.tensor([0.4 < t < 0.6 for t in TIMES])
PLACES = [int(20 * t) for t in TIMES]


def run(folder, *arguments):
    calibrate.main([str(folder), *arguments])
    return json.loads((folder / "calibration.json").read_text())


@pytest.fixture
def truth(seed):
    return torch.arange(IMAGES) % LABELS


@pytest.fixture
def errors(truth):
    """Errors that fall on the true class in the middle alone."""
    errors = 1 + 0.1 * torch.randn(IMAGES, LABELS, TRIALS)
    errors[torch.arange(IMAGES), truth] -= 0.15 * MIDDLE
    return errors


@pytest.fixture
def planted(tmp_path, errors, truth):
    return plant(tmp_path / "run", errors, truth, TIMES)


def temperature_of(scores, truth):
    return pytest.approx(fit_temperature(torch.tensor(scores), truth), rel=1e-2)


def test_weights_are_learned_of_one_trial_a_part(planted, errors, truth, capsys):
    fitted = run(planted, "--weights")
    pairs = np.array([[[t for t in range(TRIALS) if PLACES[t] == p][k] for p in range(20)]
                      for k in range(2)])  # fmt: skip
    repeats = np.stack([errors[:, :, pair].double().numpy() for pair in pairs], axis=1)
    own = np.arange(LABELS)[None] == truth[:, None].numpy()
    assert fitted["weights"] == pytest.approx(fit_time_weights(repeats, own), rel=1e-4)
    middle = [8, 9, 10, 11]
    assert min(fitted["weights"][p] for p in middle) > 2 * np.mean(
        np.delete(fitted["weights"], middle)
    )
    assert (fitted["loss"], fitted["images"], fitted["part_bias"]) == ("l2", IMAGES, None)
    score = LearnedWeights(planted)
    assert fitted["score"] == score.name
    weighed = errors.double().numpy() * np.array(fitted["weights"])[PLACES]
    assert fitted["temperature"] == temperature_of(weighed.mean(axis=2), truth)
    most = int(np.argmax(fitted["weights"]))
    assert f"Times from {most / 20:g} to {(most + 1) / 20:g} weigh most" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("room", "step", "repeats"), [(120, 1, 2), (119, 1, 1), (60, 1, 1), (40, 2, 1), (25, 3, 1)]
)
def test_many_images_are_met_less_often_and_then_fewer_of_them(
    planted, errors, truth, monkeypatch, capsys, room, step, repeats
):
    """With room for so many images met once; there are 60, and two trials a part."""
    monkeypatch.setattr("diffclf_lightning.metrics.time_weights.MOST_VALUES", 20 * LABELS * room)
    found = run(planted, "--weights")["weights"]
    first = np.array([[[t for t in range(TRIALS) if PLACES[t] == p][k] for p in range(20)]
                      for k in range(repeats)])  # fmt: skip
    some = errors[::step].double().numpy()
    own = np.arange(LABELS)[None] == truth[::step, None].numpy()
    assert found == pytest.approx(
        fit_time_weights(np.stack([some[:, :, met] for met in first], axis=1), own), rel=1e-4
    )
    said = capsys.readouterr().out
    assert (f", of {60 // step} of 60 images." in said) == (step > 1)


@pytest.mark.parametrize("flag", ["--weights", "--bias"])
def test_errors_that_are_not_finite_are_refused(tmp_path, errors, truth, flag):
    errors[7, 2, 5] = torch.inf
    folder = plant(tmp_path / "run", errors, truth, TIMES)
    with pytest.raises(InputError, match=f"at time {float(TIMES[5]):g} they are not"):
        run(folder, flag)


def test_bias_is_the_mean_over_images_whatever_their_labels(tmp_path, errors, truth, capsys):
    errors[:, 2] -= 0.3 * torch.tensor([float(t) for t in TIMES])
    folder = plant(tmp_path / "run", errors, truth, TIMES)
    fitted = run(folder, "--bias")
    for part in range(20):
        at = [t for t in range(TRIALS) if PLACES[t] == part]
        means = [errors[:, c, at].double().mean().item() for c in range(LABELS)]
        for c in range(LABELS):
            expected = means[c] - sum(means) / LABELS
            assert fitted["part_bias"][str(c)][part] == pytest.approx(expected, abs=1e-5)
    assert "('2', favoured)" in capsys.readouterr().out
    again = plant(tmp_path / "other", errors, truth.flip(0), TIMES)
    assert run(again, "--bias")["part_bias"] == fitted["part_bias"]
    bias = np.array([fitted["part_bias"][str(c)] for c in range(LABELS)])[:, PLACES]
    scores = (errors.double().numpy() - bias).mean(axis=2)
    assert fitted["score"] == WithoutBias(folder).name
    assert fitted["temperature"] == temperature_of(scores, truth)


def test_one_prompt_wins_everywhere_until_its_bias_is_off(tmp_path, truth, diffclf):
    errors = 1 + 0.1 * torch.randn(IMAGES, LABELS, TRIALS)
    errors[torch.arange(IMAGES), truth] -= 0.1
    errors[:, 1] -= 0.5
    plant(tmp_path / "fitted", errors[:30], truth[:30], TIMES)
    plant(tmp_path / "tested", errors[30:], truth[30:], TIMES)
    own = RunFolder(tmp_path / "tested").summary()["sets"]["own"]["accuracy"]
    assert own < 0.3
    diffclf("calibrate", "fitted", "--bias")
    taken = ("--score", "WithoutBias", "--score.calibration", "fitted", "--calibration", "fitted")
    out = diffclf("score", "tested", *taken).stdout
    assert "not calibrated" not in out
    (file,) = (tmp_path / "tested").glob("score-l2-unbiased-*.json")
    assert json.loads(file.read_text())["sets"]["own"]["accuracy"] > 0.9
    diffclf("figures", "tested", *taken[:4], "--resamples=1")
    assert (
        "'l2-unbiased" in diffclf("score", "tested", "--score=MeanError", *taken[4:], code=2).stderr
    )


def test_weights_and_bias_together_are_one_score(planted, errors, truth):
    both = run(planted, "--weights", "--bias")
    score = WithoutBias(planted)
    assert both["score"] == score.name
    assert both["biased"] == score.score.name == LearnedWeights(planted).name
    weighed = errors.double().numpy() * np.array(both["weights"])[PLACES]
    by_part = [weighed[:, :, [t for t in range(TRIALS) if PLACES[t] == p]].mean(axis=(0, 2))
               for p in range(20)]  # fmt: skip
    expected = np.stack(by_part, axis=1) - np.mean(by_part, axis=1)
    assert np.array(list(both["part_bias"].values())) == pytest.approx(expected, abs=1e-4)


def test_a_given_score_is_calibrated_from_errors(planted, errors, truth):
    weight = ("--score=WeightedError", "--score.weight=ExponentialWeight", "--score.loss=l2")
    fitted = run(planted, *weight)
    falling = errors.double().numpy() * np.exp([-7 * float(t) for t in TIMES])
    assert fitted["temperature"] == temperature_of(falling.mean(axis=2), truth)
    assert fitted["weights"] is None
    raced = run(planted, *weight, "--error-rate=0.3")
    assert raced["score"] == fitted["score"]
    assert raced["level"] is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--weights", "--error-rate", "0.1"], "--error-rate of a score that is fixed"),
        (["--bias", "--informative"], "--informative of a score that is fixed"),
        (["--score=MeanError", "--score.loss=l1", "--weights"], r"computed \(l2\), but got 'l1'"),
        (
            ["--weights", "--score=WeightedError", "--score.weight=UniformWeight"],
            "--weights with the mean of a loss",
        ),
        (["--score=LearnedWeights", "--score.weights=[1]", "--score.loss=l1"], "'l1'"),
    ],
)
def test_what_cannot_be_learned_is_said(planted, arguments, said):
    with pytest.raises(InputError, match=said):
        run(planted, *arguments)
    assert not (planted / "calibration.json").exists()


@pytest.mark.parametrize("flag", ["--weights", "--bias"])
def test_means_over_other_trials_are_not_compared(tmp_path, errors, truth, flag):
    errors[3, 1, 25:] = torch.nan
    with pytest.raises(InputError, match="some were dropped"):
        run(plant(tmp_path / "pruned", errors, truth, TIMES), flag)
    few = plant(tmp_path / "few", errors[:, :, :19], truth, TIMES[:19])
    with pytest.raises(InputError, match="each of 20 equal parts"):
        run(few, flag)
    alike = plant(tmp_path / "alike", torch.ones(IMAGES, LABELS, TRIALS), truth, TIMES)
    if flag == "--weights":
        with pytest.raises(InputError, match="lower for the true class"):
            run(alike, flag)


def test_what_calibrate_writes_over_is_said(planted, capsys):
    run(planted, "--weights")
    assert "gone" not in capsys.readouterr().out
    run(planted, "--bias")
    assert "What --weights fitted stood there, and is gone" in capsys.readouterr().out
    fitted = run(planted, "--weights", "--bias")
    assert "gone" not in capsys.readouterr().out
    assert fitted["weights"] is not None


def test_times_at_the_edges_of_parts_are_counted_once():
    """Parts by exact fractions and by float32 are the same."""
    times = [Fraction(i, n) for n in (10, 20, 50, 100, 1000) for i in range(n)]
    found = part_of(torch.tensor([float(t) for t in times]), 20)
    assert found.tolist() == [int(20 * t) for t in times]
