"""Scores that hold what was learned: against plain loops, stored as plain numbers."""

import json
import math
from dataclasses import replace

import pytest
import torch
from running import table_of

from diffclf_lightning import (
    InputError,
    LearnedWeights,
    MeanError,
    Racing,
    RelativeToReference,
    WithoutBias,
)
from diffclf_lightning.arguments import plain
from diffclf_lightning.calibration import Calibration
from diffclf_lightning.calibration_entries import FORMS
from diffclf_lightning.denoisers import FlowMatching
from diffclf_lightning.evaluation import GoldenGrid, replayed
from diffclf_lightning.results import RunFolder

TIMES = GoldenGrid().order((16,))[0]
NAMES = ["dog", "cat", "owl"]
WEIGHTS = (0.25, 2.0, 0.5, 1.25)
BIAS = {"cat": [0.3, -0.1], "dog": [0.0, 0.2], "owl": [-0.3, -0.1], "fox": [9.0, 9.0]}
FITTED = {"temperature": 7.0, "score": "l2", "images": 5}


def calibrated(folder, **fields):
    (folder / "calibration.json").write_text(json.dumps({**FITTED, **fields}))
    return folder


@pytest.fixture
def table(seed):
    """Two images of three candidates; two were pruned."""
    errors = torch.rand(2, 3, 16)
    errors[0, 1, 3:] = errors[1, 0, 7:] = torch.nan
    return table_of(FlowMatching()(TIMES), l2=errors)


def test_learned_weights_equal_a_plain_loop(table, tmp_path):
    folder = calibrated(tmp_path, loss="l2", weights=WEIGHTS)
    scored = table.scored(LearnedWeights(folder))
    for errors, means in zip(table.dense("l2"), scored.means, strict=True):
        for own, mean in zip(errors.tolist(), means.tolist(), strict=True):
            met = [
                WEIGHTS[int(4 * t)] * e
                for t, e in zip(TIMES, own, strict=True)
                if not math.isnan(e)
            ]
            assert mean == pytest.approx(sum(met) / len(met), rel=1e-5)


def test_bias_is_taken_off_candidate_by_candidate_and_part_by_part(table):
    score = WithoutBias(bias=BIAS, score=MeanError("l2"))
    scored = table.scored(score.bind(NAMES))
    dense = table.dense("l2").tolist()
    for image in range(2):
        for place, name in enumerate(NAMES):
            met = [
                e - BIAS[name][int(2 * t)]
                for t, e in zip(TIMES, dense[image][place], strict=True)
                if not math.isnan(e)
            ]
            assert scored.means[image, place].item() == pytest.approx(sum(met) / len(met), abs=1e-5)
    assert score.losses == ("l2",)


def test_a_bias_that_is_alike_at_all_times_leaves_spreads(table):
    flat = {name: [shift] * 5 for name, shift in zip(NAMES, (0.02, 0.0, -0.01), strict=True)}
    score = WithoutBias(bias=flat).bind(NAMES)
    plainly, without = table["l2"], table.scored(score)
    assert torch.allclose(without.standard_errors, plainly.standard_errors, atol=1e-6)
    moved = plainly.means - torch.tensor([0.02, 0.0, -0.01])
    assert torch.allclose(without.means, moved.to(without.means), atol=1e-6)


def test_a_race_without_bias_answers_as_all_trials_do(seed):
    """Among candidates one of which wins on every image, a race finds the others."""
    times = GoldenGrid().order((60,))[0]
    truth = torch.arange(30) % 3
    errors = 1 + 0.05 * torch.randn(30, 3, 60)
    errors[torch.arange(30), truth] -= 0.1
    errors[:, 1] -= torch.tensor([0.8 if t < 0.5 else 0.2 for t in times])
    full = table_of(FlowMatching()(times), l2=errors)
    bias = {"dog": [0, 0], "cat": [-0.8, -0.2], "owl": [0, 0]}
    score = WithoutBias(bias=bias).bind(NAMES)
    assert set(full["l2"].predictions.tolist()) == {1}
    race = Racing(max_trials=60)
    raced = replayed(full, race.bind(3, race.stages), score)
    assert (raced.scored(score).predictions == truth).float().mean() > 0.95
    assert raced.evaluations.double().mean() < 0.5 * 3 * 60


def test_bias_goes_around_a_relative_score(table):
    reference = table_of(table.timesteps, l2=torch.rand(2, 1, 16))
    whole = replace(table, reference=reference)
    inner = RelativeToReference(LearnedWeights(weights=WEIGHTS))
    score = WithoutBias(bias=BIAS, score=inner)
    assert score.needs_reference
    moved = whole.scored(inner).dense() - whole.scored(score.bind(NAMES)).dense()
    places = [int(2 * t) for t in TIMES]
    expected = torch.tensor([[BIAS[name][p] for p in places] for name in NAMES])
    assert torch.allclose(moved[0, 0], expected[0], atol=1e-5)
    assert torch.allclose(moved[1, 2], expected[2], atol=1e-5)
    with pytest.raises(InputError, match="Put WithoutBias around RelativeToReference"):
        RelativeToReference(score)


@pytest.mark.parametrize(
    "fields",
    [
        {"loss": "l1", "weights": WEIGHTS},
        {"loss": "l1", "biased": "l1", "part_bias": BIAS},
    ],
)
def test_they_are_stored_by_what_they_are(fields, tmp_path):
    kind = LearnedWeights if "weights" in fields else WithoutBias
    score = kind(calibrated(tmp_path, **fields))
    (tmp_path / "calibration.json").unlink()
    stored = plain(score)
    assert json.loads(json.dumps(stored))["class_path"].endswith(kind.__name__)
    arguments = stored["init_args"]
    if "score" in arguments:
        assert arguments["score"]["init_args"] == {"loss": "l1"}
        arguments["score"] = MeanError(**arguments["score"]["init_args"])
    again = kind(**arguments)
    assert (again.name, repr(again)) == (score.name, repr(score))
    assert score.losses == again.losses == ("l1",)


def test_names_tell_what_was_learned():
    names = [
        LearnedWeights(weights=WEIGHTS).name,
        LearnedWeights(weights=[*WEIGHTS[:3], 1.26]).name,
        LearnedWeights(weights=WEIGHTS, loss="l1").name,
        WithoutBias(bias=BIAS).name,
        WithoutBias(bias={**BIAS, "owl": [0, 0]}).name,
        WithoutBias(bias=BIAS, score=LearnedWeights(weights=WEIGHTS)).name,
    ]
    assert len(set(names)) == len(names)
    assert WithoutBias(bias=dict(reversed(BIAS.items()))).name == names[3]


def test_a_bias_brings_the_score_that_it_was_fitted_for(tmp_path):
    learned = LearnedWeights(weights=WEIGHTS, loss="l1")
    fields = {"loss": "l1", "weights": WEIGHTS, "biased": learned.name, "part_bias": BIAS}
    found = WithoutBias(calibrated(tmp_path, **fields))
    assert repr(found.score) == repr(learned)
    fields = {"biased": "other", "part_bias": BIAS}
    with pytest.raises(InputError, match=r"`score` of WithoutBias to be 'other'.*got None"):
        WithoutBias(calibrated(tmp_path, **fields))
    with pytest.raises(InputError, match=r"'other'.*got 'l2'"):
        WithoutBias(tmp_path, score=MeanError())


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        (LearnedWeights, {}, "--weights.*neither"),
        (LearnedWeights, {"calibration": ".", "weights": [1]}, "both"),
        (LearnedWeights, {"calibration": "nowhere"}, "`calibration`"),
        (LearnedWeights, {"weights": [1, -1]}, "`weights`"),
        (LearnedWeights, {"weights": []}, "`weights`"),
        (WithoutBias, {}, "--bias.*neither"),
        (WithoutBias, {"calibration": ".", "bias": BIAS}, "both"),
        (WithoutBias, {"bias": {}}, "`bias`"),
        (WithoutBias, {"bias": {"dog": [0, 1], "cat": [0]}}, "`bias`"),
        (WithoutBias, {"bias": {"dog": [math.nan]}}, "`bias`"),
    ],
)
def test_bad_arguments_are_named(kind, arguments, said):
    with pytest.raises(InputError, match=said):
        kind(**arguments)


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ("temperature", "x", "a number above 0"),
        ("temperature", -1.0, "a number above 0"),
        ("temperature", math.inf, "a number above 0"),
        ("temperature", True, "a number above 0"),
        ("score", None, "a name"),
        ("images", "5", "a whole number"),
        ("level", "0.1", "a number above 0"),
        ("loss", 2, "a name"),
        ("weights", ["a"], "a list of numbers"),
        ("weights", 3, "a list of numbers"),
        ("weights", [math.nan], "a list of numbers"),
        ("density", {}, "a list of numbers"),
        ("bias", {"cat": "x"}, "a number by name"),
        ("keep", 1.5, "a whole number"),
        ("biased", [], "a name"),
        ("part_bias", [1], "a list of numbers by name"),
        ("part_bias", {"cat": 1}, "a list of numbers by name"),
        ("part_bias", {"cat": ["1"]}, "a list of numbers by name"),
        ("model", 7, "a text"),
    ],
)
def test_a_calibration_that_was_edited_is_refused_by_file_and_entry(
    entry, value, expected, tmp_path
):
    whole = {"loss": "l2", "weights": WEIGHTS, "biased": "l2", "part_bias": BIAS}
    Calibration.load(calibrated(tmp_path, **whole))
    calibrated(tmp_path, **{**whole, entry: value})
    with pytest.raises(InputError) as caught:
        Calibration.load(tmp_path)
    said = str(caught.value)
    file = tmp_path / "calibration.json"
    assert f"Expected {entry!r} in {str(file)!r} to be {expected}" in said
    assert f"got {value!r}" in said


def test_each_entry_of_a_calibration_has_a_form():
    assert FORMS.keys() == Calibration.__dataclass_fields__.keys()


def test_what_a_calibration_does_not_hold_is_said(tmp_path):
    folder = calibrated(tmp_path, loss="l2", weights=WEIGHTS)
    with pytest.raises(InputError, match=r"has none.*calibrate RUN --bias"):
        WithoutBias(folder)
    with pytest.raises(InputError, match=r"weights of loss 'l1'.*belong to 'l2'"):
        LearnedWeights(folder, loss="l1")
    with pytest.raises(InputError, match=r"has none.*calibrate RUN --weights"):
        LearnedWeights(calibrated(tmp_path))


def test_candidates_that_are_not_known_are_named(table):
    with pytest.raises(InputError, match="does not know 'cow'"):
        WithoutBias(bias=BIAS).bind(["dog", "cow"])
    for score in (WithoutBias(bias=BIAS), WithoutBias(bias=BIAS).bind(NAMES[:2])):
        with pytest.raises(InputError, match="3 others"):
            table.scored(score)


def test_a_run_takes_them_by_one_argument(diffclf, tmp_path):
    digits = {str(label): [0.1 * label, -0.1 * label] for label in range(10)}
    learned = LearnedWeights(weights=WEIGHTS)
    fields = {"loss": "l2", "weights": WEIGHTS, "biased": learned.name, "part_bias": digits}
    whole = WithoutBias(calibrated(tmp_path, **fields))
    calibrated(tmp_path, **{**fields, "score": whole.name})
    run = ["test", "--config=digits", "--data.num_test=4", "--model.strategy.max_trials=4"]
    run += ["--model.score=WithoutBias", "--model.score.calibration=.", "--model.calibration=."]
    diffclf(*run, "--results.folder=r", "--results.errors=true")
    described = RunFolder(tmp_path / "r").description()
    assert described["score"] == repr(whole)
    assert described["scores"] == [whole.name, "l2"]
    assert (described["temperature"], described["calibrated"]) == (7.0, True)
    taken = ["--score=LearnedWeights", "--score.calibration=."]
    assert "fitted for" in diffclf("score", "r", *taken, "--calibration=.", code=2).stderr
    diffclf("score", "r", *taken)
    assert (tmp_path / f"r/score-{learned.name}.json").is_file()
    calibrated(tmp_path)
    assert "diffclf calibrate RUN --bias" in diffclf(*run, "--results.folder=s", code=2).stderr
