"""Vectors of the fits and of effective robustness, computed with SciPy and statsmodels."""

import json
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import InputError
from diffclf_lightning.baselines.discriminative import DiscriminativeClassifier, Preprocessing
from diffclf_lightning.metrics import Accuracy, clopper_pearson
from diffclf_lightning.robustness import Line, PiecewiseLinear, effective_robustness, get_scale

VECTORS = json.loads((Path(__file__).parent / "robustness_vectors.json").read_text())
LINE, PIECES, PUBLISHED = (
    VECTORS[name] for name in ("linear_fit", "piecewise_fit", "published_line")
)


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


@pytest.mark.parametrize("scale", ["logit", "probit", "linear"])
def test_line(scale):
    expected, id, ood = LINE[scale], LINE["eval"]["id"], LINE["eval"]["ood"]
    line = Line(LINE["x"], LINE["y"], get_scale(scale))
    assert line.slope == close(expected["slope"])
    assert line.intercept == close(expected["intercept"])
    assert line.r_squared == close(expected["r2"])
    assert line.residual_sd == close(expected["resid_sd"])
    assert line.predict(id) == close(expected["pred"])
    assert float(line.scale(line.predict(id))) == close(expected["pred_scaled"])
    assert line.standard_error(id) == close(expected["pred_scaled_se_mean"])
    interval = line.prediction_interval(id)
    assert [interval.lower, interval.upper] == close(expected["pred_interval95"])
    result = effective_robustness(line, Accuracy(id), Accuracy(ood))
    assert result.effective == close(expected["effective_robustness"])


@pytest.mark.parametrize("case", VECTORS["degenerate"], ids=lambda case: str(case["x"]))
def test_degenerate(case):
    if "expect" not in case:
        line = Line(case["x"], case["y"])
        assert (line.slope, line.intercept) == close((case["slope"], case["intercept"]))
        assert line.r_squared == close(1)
        assert line.standard_error(0.75) is line.prediction_interval(0.75) is None
        result = effective_robustness(line, Accuracy(0.75, 100), Accuracy(0.5, 100))
        assert result.standard_error is result.interval is None
        return
    remedy = {1: "Add baselines", 3: "Add weaker or stronger ones|Leave such models out"}
    with pytest.raises(InputError, match=remedy[len(case["x"])]):
        Line(case["x"], case["y"])


def test_two_pieces():
    at = PIECES["pivot"]
    fit = PiecewiseLinear(PIECES["x"], PIECES["y"], at)
    for side, line in fit.pieces.items():
        expected = PIECES[side]
        assert line.count == expected["n"]
        assert line.slope == close(expected["slope"])
        assert line.intercept == close(expected["intercept"])
        assert line.r_squared == close(expected["r2"])
    for case in PIECES["predictions"]:
        assert fit.piece(case["x"]).predict(case["x"]) == close(case["pred"])
    jump = fit.pieces["above"].predict(at) - fit.pieces["below"].predict(at)
    assert jump == close(PIECES["jump_at_pivot"])
    for case in PIECES["effective_robustness"]:
        result = effective_robustness(fit, Accuracy(case["id"]), Accuracy(case["ood"]))
        assert result.effective == close(case["er"])


@pytest.mark.parametrize("case", PUBLISHED["effective_robustness"], ids=str)
def test_published_line(case):
    logit, line = get_scale("logit"), PUBLISHED["fit"]
    points = [0.6, 0.8]
    fit = Line(points, logit.inverse(line["intercept"] + line["slope"] * logit(points)))
    result = effective_robustness(fit, Accuracy(case["id"]), Accuracy(case["ood"]))
    assert result.effective == close(case["er"])


class KnownLogits(nn.Module):
    """The image's number, kept in its first pixel, chooses the row of logits."""

    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows), requires_grad=False)

    def forward(self, images):
        return self.rows[(images[:, 0, 0, 0] * 255).round().long()]


SUBSET = VECTORS["class_subset"]


def first_of(numbers):
    """The label by which a group goes, of each number of a group."""
    return [SUBSET["groups"][number][0] for number in numbers]


@pytest.mark.parametrize(
    ("candidates", "labels", "expected"),
    [
        (None, SUBSET["targets"], SUBSET["full_accuracy"]),
        (SUBSET["subset_classes"], SUBSET["targets"], SUBSET["subset_accuracy"]),
        (SUBSET["groups"], first_of(SUBSET["group_targets"]), SUBSET["group_accuracy"]),
        (SUBSET["groups"], first_of(SUBSET["group_pred"]), 1.0),
    ],
)
def test_class_subset(candidates, labels, expected):
    preprocessing = Preprocessing(lambda image: image, (1, 1, 1), [0.0], [1.0])
    classifier = DiscriminativeClassifier(KnownLogits(SUBSET["scores"]), preprocessing, "known")
    images = torch.arange(len(labels), dtype=torch.uint8).reshape(-1, 1, 1, 1)
    data = TensorDataset(images, torch.tensor(labels))
    data.candidate_labels = candidates
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.test(classifier, DataLoader(data, batch_size=len(labels)), verbose=False)
    assert classifier.reports["test"].accuracy == expected
