"""Vectors of the fits and of effective robustness, computed with SciPy and statsmodels."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from diffclf_lightning import InputError
from diffclf_lightning.baselines.discriminative import DiscriminativeClassifier, Preprocessing
from diffclf_lightning.metrics import (
    Accuracy,
    Broken,
    Hinged,
    Straight,
    clopper_pearson,
    effective_robustness,
    get_scale,
    relative_robustness,
)

VECTORS = json.loads((Path(__file__).parent / "robustness_vectors.json").read_text())
LINE, PIECES = VECTORS["linear_fit"], VECTORS["piecewise_fit"]


def close(value):
    return pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("case", VECTORS["clopper_pearson"]["cases"], ids=str)
def test_clopper_pearson(case):
    k, n, alpha = case["k"], case["n"], case["alpha"]
    interval = clopper_pearson(k, n, alpha)
    assert (interval.lower, interval.upper) == close((case["lower"], case["upper"]))
    if k == 0:
        assert interval.upper == close(1 - (alpha / 2) ** (1 / n))
    if k == n:
        assert interval.lower == close((alpha / 2) ** (1 / n))


def check_line(fit, expected, id, ood):
    piece = fit.piece(id)
    assert piece.slope == close(expected["slope"])
    assert piece.intercept == close(expected["intercept"])
    assert piece.r_squared == close(expected["r2"])
    errors = piece.solution.residual_sd * np.sqrt(np.diag(piece.solution.inverse))
    assert errors[1] == close(expected["slope_se"])
    assert errors[0] == close(expected["intercept_se"])
    assert float(fit.scale(fit.predict(id))) == close(expected["pred_scaled"])
    assert piece.standard_error(id) == close(expected["pred_scaled_se_mean"])
    assert fit.predict(id) == close(expected["pred"])
    mean = piece.mean_interval(id)
    assert [mean.lower, mean.upper] == close(expected["pred_mean_ci95"])
    result = effective_robustness(fit, Accuracy(id), Accuracy(ood))
    assert result.effective == close(expected["effective_robustness"])
    return piece


@pytest.mark.parametrize("unit", ["fraction", "percent"])
@pytest.mark.parametrize("scale", ["logit", "probit", "linear"])
def test_line(scale, unit):
    expected, evaluated = LINE[scale], LINE["eval"]
    x, y = LINE["x"], LINE["y"]
    if unit == "percent":
        x, y = LINE["percent_input_must_match"]["x_pct"], [100 * v for v in y]
    fit = Straight(get_scale(scale)).fit(x, y)
    piece = check_line(fit, expected, evaluated["id"], evaluated["ood"])
    assert piece.solution.residual_sd == close(expected["resid_sd"])
    interval = piece.prediction_interval(evaluated["id"])
    assert [interval.lower, interval.upper] == close(expected["pred_interval95"])


def test_weighted_line():
    y = np.array(LINE["y"])
    fit = Straight().fit(LINE["x"], LINE["y"], weights=10_000 * y * (1 - y))
    check_line(fit, LINE["logit_weighted"], LINE["eval"]["id"], LINE["eval"]["ood"])


@pytest.mark.parametrize("case", VECTORS["degenerate"], ids=lambda case: str(case["x"]))
def test_degenerate(case):
    if "expect" not in case:
        fit = Straight().fit(case["x"], case["y"])
        assert (fit.slope, fit.intercept) == close((case["slope"], case["intercept"]))
        assert fit.r_squared == close(1)
        assert fit.standard_error(0.75) is None
        assert fit.mean_interval(0.75) is fit.prediction_interval(0.75) is None
        result = effective_robustness(fit, Accuracy(0.75, 100), Accuracy(0.5, 100))
        assert result.standard_error is result.interval is None
        return
    remedy = {1: "Add baselines", 3: "Add weaker or stronger ones|Leave such models out"}
    with pytest.raises(InputError, match=remedy[len(case["x"])]):
        Straight().fit(case["x"], case["y"])


def test_two_pieces():
    x, y, at = PIECES["x"], PIECES["y"], PIECES["pivot"]
    fit = Broken(at).fit(x, y)
    for side in ("below", "above"):
        piece, expected = fit.pieces[side], PIECES[side]
        assert piece.count == expected["n"]
        assert piece.slope == close(expected["slope"])
        assert piece.intercept == close(expected["intercept"])
        assert piece.r_squared == close(expected["r2"])
    for case in PIECES["predictions"]:
        assert fit.predict(case["x"]) == close(case["pred"])
    jump = fit.pieces["above"].predict(at) - fit.pieces["below"].predict(at)
    assert jump == close(PIECES["jump_at_pivot"])
    for case in PIECES["effective_robustness"]:
        result = effective_robustness(fit, Accuracy(case["id"]), Accuracy(case["ood"]))
        assert result.effective == close(case["er"])


def test_hinge():
    expected = PIECES["continuous_hinge_variant"]
    kept = [(x, y) for x, y in zip(PIECES["x"], PIECES["y"], strict=True) if y]
    fit = Hinged(PIECES["pivot"]).fit(*map(list, zip(*kept, strict=True)))
    assert fit.solution.coefficients.tolist() == close(expected["c"])
    for case in expected["predictions"]:
        assert fit.predict(case["x"]) == close(case["pred"])
    assert [fit.slope_at(0.9), fit.slope_at(0.95)] == close(expected["c"][1:])


@pytest.mark.parametrize("case", VECTORS["zero_one_policy"]["cases"], ids=str)
def test_smoothed_accuracies(case):
    smoothed = Accuracy.of(case["k"], case["n"]).smoothed
    assert float(get_scale("logit")(smoothed.value)) == close(case["value"])


def test_relative_robustness():
    case = VECTORS["relative_robustness"]
    f, changed = (Accuracy(case[k]["ood"]) for k in ("f", "f_prime"))
    assert relative_robustness(changed, f) == close(case["tau"])
    line = case["fit"]
    points = [0.6, 0.8]
    logit = get_scale("logit")
    fit = Straight().fit(
        points, logit.inverse(line["intercept"] + line["slope"] * logit(points)).tolist()
    )
    for model, expected in (("f", "rho_f"), ("f_prime", "rho_f_prime")):
        id, ood = Accuracy(case[model]["id"]), Accuracy(case[model]["ood"])
        assert effective_robustness(fit, id, ood).effective == close(case[expected])


class KnownLogits(nn.Module):
    """The image's number, kept in its first pixel, chooses the row of logits."""

    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows), requires_grad=False)

    def forward(self, images):
        return self.rows[(images[:, 0, 0, 0] * 255).round().long()]


def predictions(groups):
    case = VECTORS["class_subset"]
    count = len(case["scores"])
    preprocessing = Preprocessing(lambda image: image, (1, 1, 1), [0.0], [1.0])
    classifier = DiscriminativeClassifier(KnownLogits(case["scores"]), preprocessing, "known")
    classifier.num_labels = 5
    images = torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    task, _ = classifier.prepare(groups)
    outcome = classifier.classify(images, task)
    kept = [label for label in range(5) if torch.isfinite(outcome.scores[0, label])]
    expected = (-outcome.scores[:, kept]).softmax(dim=1)
    assert torch.allclose(outcome.probabilities[:, kept], expected)
    assert outcome.probabilities.sum(dim=1) == pytest.approx(torch.ones(count))
    assert outcome.counts[0].tolist() == [int(label in kept) for label in range(5)]
    return outcome.predictions, torch.tensor(case["targets"])


def test_class_subset():
    case = VECTORS["class_subset"]
    for groups, expected in ((None, "full_accuracy"), (case["subset_classes"], "subset_accuracy")):
        predicted, labels = predictions(groups)
        assert (predicted == labels).float().mean().item() == case[expected]
    groups = case["groups"]
    predicted, _ = predictions(groups)
    group_of = {group[0]: number for number, group in enumerate(groups)}
    assert [group_of[label] for label in predicted.tolist()] == case["group_pred"]
    correct = [
        group_of[p] == t for p, t in zip(predicted.tolist(), case["group_targets"], strict=True)
    ]
    assert np.mean(correct) == case["group_accuracy"]
