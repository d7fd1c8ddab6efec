import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss, top_k_accuracy_score

from diffclf_lightning.metrics import Accuracy, classification_report, clopper_pearson


def rows(seed, images=60, classes=7, seen=6):
    """Random answers; the last of the classes never occurs."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(classes), size=images)
    label = generator.integers(seen, size=images)
    true = probabilities[np.arange(images), label]
    return probabilities, {
        "label": label,
        "prediction": probabilities.argmax(axis=1),
        "confidence": probabilities.max(axis=1),
        "rank": (probabilities > true[:, None]).sum(axis=1),
        "negative_log_likelihood": -np.log(true),
        "evaluations": generator.integers(1, 9, size=images),
        "seconds": generator.random(images),
    }


def test_report_agrees_with_scikit_learn(seed):
    probabilities, columns = rows(seed)
    report = classification_report(**columns, others={}, num_labels=7)
    label, prediction = columns["label"], columns["prediction"]
    assert (report.correct, report.total) == (int((prediction == label).sum()), 60)
    assert report.interval == clopper_pearson(report.correct, 60)
    recalls = [(prediction[label == c] == c).mean() for c in np.unique(label)]
    assert report.mean_per_class_accuracy == pytest.approx(np.mean(recalls))
    top5 = top_k_accuracy_score(label, probabilities, k=5, labels=range(7))
    assert report.top5_accuracy == pytest.approx(top5)
    nll = log_loss(label, probabilities, labels=range(7))
    assert report.negative_log_likelihood == pytest.approx(nll)
    evaluations, seconds = columns["evaluations"].sum(), columns["seconds"].sum()
    assert report.evaluations == evaluations
    assert report.seconds_per_image == pytest.approx(seconds / 60)
    assert report.evaluations_per_second == pytest.approx(evaluations / seconds)


def test_mean_per_class_is_scikit_learns_balanced_accuracy(seed):
    """Over the classes that occur, which are all that scikit-learn is told of."""
    _, columns = rows(seed)
    columns["prediction"] = np.random.default_rng(seed).choice(columns["label"], size=60)
    report = classification_report(**columns, others={}, num_labels=7)
    expected = balanced_accuracy_score(columns["label"], columns["prediction"])
    assert report.mean_per_class_accuracy == pytest.approx(expected)


def test_calibration_error_is_the_gap_of_15_bins(seed):
    _, columns = rows(seed)
    confidence, correct = columns["confidence"], columns["prediction"] == columns["label"]
    bins = np.minimum((confidence * 15).astype(int), 14)
    gap = sum(
        abs(confidence[bins == b].mean() - correct[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    )
    report = classification_report(**columns, others={}, num_labels=7)
    assert report.calibration_error == pytest.approx(gap, abs=1e-5)


def test_other_scores_are_counted_on_the_same_images(seed):
    _, columns = rows(seed)
    others = {"l1": (columns["label"] + (np.arange(60) % 3 == 0)) % 7}
    report = classification_report(**columns, others=others, num_labels=7)
    assert report.others == {"l1": Accuracy.of(40, 60)}
    assert report.scalars()["accuracy_l1"] == pytest.approx(40 / 60)
    assert report.summary()["others"]["l1"]["correct"] == 40


def test_filling_is_counted_over_the_images_of_which_it_is_known(seed):
    _, columns = rows(seed)
    evaluations = columns["evaluations"]
    underfilled, repeats = evaluations * 0.25, np.full(60, 0.5)
    counts = {"underfilled": underfilled, "repeats": repeats}
    report = classification_report(**columns, **counts, others={}, num_labels=7)
    assert report.underfilled_share == report.summary()["underfilled_share"] == 0.25
    assert report.padded_share == pytest.approx(30 / (evaluations.sum() + 30))
    underfilled[:30] = np.nan
    report = classification_report(**columns, **counts, others={}, num_labels=7)
    assert report.underfilled_share == 0.25
    report = classification_report(**columns, others={}, num_labels=7)
    assert report.underfilled_share is report.padded_share is None
    assert "underfilled_share" not in report.scalars()


def test_few_labels_have_no_top_5(seed):
    _, columns = rows(seed, classes=2, seen=2)
    report = classification_report(**columns, others={}, num_labels=2)
    assert report.top5_accuracy is None
    assert "top5_accuracy" not in report.scalars()
