from dataclasses import replace

from rich.console import Console

from diffclf_lightning.callbacks.table import report_table
from diffclf_lightning.metrics import Accuracy, ClassificationReport

REPORT = ClassificationReport(
    count=Accuracy.of(497, 500), mean_per_class_accuracy=0.9941, top5_accuracy=1.0,
    calibration_error=0.007, negative_log_likelihood=0.021, evaluations=74000,
    evaluations_per_image=148.0, seconds_per_image=0.0324, evaluations_per_second=4560.0,
)  # fmt: skip


def printed(**reports):
    console = Console(width=80, record=True, quiet=False)
    console.print(report_table(reports))
    return console.export_text()


def test_a_row_holds_what_was_measured_and_fits_a_terminal():
    text = printed(digits=REPORT, translation_1=REPORT, a_set_of_a_long_name=REPORT)
    row = next(line for line in text.splitlines() if " digits " in line)
    assert row.split() == [
        "digits",
        "99.4",
        "(97.6-99.9)",
        "497/500",
        "99.4",
        "0.021",
        "148",
        "0.032",
    ]
    assert row.replace("digits       ", "translation_1") in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_published_metric_and_skipped_images_are_noted():
    assert "*" not in printed(digits=REPORT)
    text = printed(pets=replace(REPORT, metric="mean_per_class_accuracy", skipped=3))
    assert "99.4*" in text
    assert "pets: 3 images could not be read" in text


def test_passes_half_empty_are_noted_with_the_remedy():
    assert "half" not in printed(digits=replace(REPORT, underfilled_share=0.05))
    text = printed(pets=replace(REPORT, underfilled_share=0.21))
    assert "pets: 21% of evaluations ran in passes less than half full" in " ".join(text.split())
    assert "--data.batch_size" in text


def test_other_scores_have_a_row_below_their_set():
    others = {"l1": Accuracy.of(490, 500), "l2+bound": Accuracy.of(498, 500)}
    lines = printed(digits=replace(REPORT, others=others), fonts=REPORT).splitlines()
    (row,) = (i for i, line in enumerate(lines) if " digits " in line)
    assert lines[row + 1].split() == ["l1", "98.0", "(95.5-99.3)", "490/500"]
    assert lines[row + 2].split() == ["l2+bound", "99.6", "(98.0-100.0)", "498/500"]
    assert lines[row + 1].index("l1") == lines[row].index("digits") + 2
    assert lines[row + 3].split()[0] == "fonts"
