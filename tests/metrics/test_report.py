import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, log_loss, top_k_accuracy_score

from diffclf_lightning.metrics import SetMetrics


@pytest.fixture
def filled(seed):
    metrics, n, classes = SetMetrics(7), 60, 7
    scores = torch.rand(n, classes)
    probabilities = (-3 * scores).softmax(dim=1)
    labels = torch.randint(classes - 1, (n,))  # the last class never occurs
    predictions = scores.argmin(dim=1)
    evaluations = torch.randint(1, 9, (n,))
    for part in torch.arange(n).split(13):
        metrics.update(
            scores[part],
            probabilities[part],
            predictions[part],
            labels[part],
            evaluations[part],
            seconds=0.5,
        )
    return metrics, scores.numpy(), probabilities.numpy(), labels.numpy(), evaluations


def test_report_agrees_with_scikit_learn(filled):
    metrics, scores, probabilities, labels, evaluations = filled
    report = metrics.compute()
    predictions = scores.argmin(axis=1)
    assert (report.correct, report.total) == (int((predictions == labels).sum()), 60)
    recalls = [(predictions[labels == c] == c).mean() for c in np.unique(labels)]
    assert report.mean_per_class_accuracy == pytest.approx(np.mean(recalls))
    seen = np.isin(predictions, labels)
    if seen.all():
        assert np.mean(recalls) == pytest.approx(balanced_accuracy_score(labels, predictions))
    top5 = top_k_accuracy_score(labels, -scores, k=5, labels=range(7))
    assert report.top5_accuracy == pytest.approx(top5)
    nll = log_loss(labels, probabilities, labels=range(7))
    assert report.negative_log_likelihood == pytest.approx(nll, rel=1e-5)
    assert report.evaluations == int(evaluations.sum())
    assert report.seconds_per_image == pytest.approx(2.5 / 60)
    assert report.evaluations_per_second == pytest.approx(int(evaluations.sum()) / 2.5)


def test_calibration_error_is_the_gap_of_15_bins(filled):
    metrics, _, probabilities, labels, _ = filled
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * 15).astype(int), 14)
    gap = sum(
        abs(confidence[bins == b].mean() - correct[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    )
    assert metrics.compute().calibration_error == pytest.approx(gap, abs=1e-5)


def test_nothing_counted_gives_no_report():
    assert SetMetrics(3).compute() is None


def test_few_labels_have_no_top_5():
    metrics = SetMetrics(2)
    one = torch.tensor([0])
    metrics.update(torch.rand(1, 2), torch.tensor([[0.6, 0.4]]), one, one, one + 3, 1.0)
    assert metrics.compute().top5_accuracy is None
    assert "top5_accuracy" not in metrics.compute().scalars()
