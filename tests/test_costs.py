"""``diffclf costs``: Table 7 of stored rows."""

import csv
import json
import statistics

import numpy as np
import pytest
import torch
from planted import LABELS, plant

from diffclf_lightning.metrics import matching_report
from diffclf_lightning.results import RunFolder


@pytest.fixture
def runs(tmp_path, seed):
    truth = torch.arange(10) % LABELS
    errors = torch.rand(10, LABELS, 3)
    errors[5:, 1:, 1:] = torch.nan  # pruned: fewer evaluations
    for name, device, devices in (("a", "Card", 1), ("b", "Card", 1), ("c", "Other", 2)):
        plant(tmp_path / name, errors, truth, ["1/6", "1/2", "5/6"])
        RunFolder(tmp_path / name).described.record(
            {"device": device, "devices": devices, "version": "1", "torch": "2"}
        )
    return truth


def test_costs_are_those_of_the_rows(diffclf, runs, tmp_path):
    said = diffclf("costs", "a", "b", "--output=out/costs.csv").stdout
    assert "Card" in said
    assert "compare only" not in said
    with (tmp_path / "out/costs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == ["a", "b"]
    summary = json.loads((tmp_path / "a/summary.json").read_text())["sets"]["own"]
    spent = [LABELS * 3] * 5 + [LABELS + 2] * 5
    for row in rows:
        assert float(row["accuracy"]) == summary["accuracy"]
        assert int(row["images"]) == 10
        assert float(row["evaluations_mean"]) == statistics.mean(spent)
        assert float(row["evaluations_median"]) == statistics.median(spent)
        assert float(row["seconds_mean"]) == float(row["seconds_median"]) == 0.5


def test_other_machines_are_said(diffclf, runs, tmp_path):
    said = diffclf("costs", "a", "c", "--output=costs.md").stdout
    table = (tmp_path / "costs.md").read_text()
    for text in (said.replace("\n", " "), table):
        assert "2 x Other" in text
        assert "seconds compare only where these are the same" in text
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 4
    RunFolder(tmp_path / "a").described.record(
        {"device": "New", "devices": 1, "version": "1", "torch": "2"}
    )
    assert "continued on another device: a" in diffclf("costs", "a", "b").stdout


def test_examples_of_images_and_captions_have_a_text_score(diffclf, runs, tmp_path):
    errors = [np.array([[0.0, 1.0], [1.0, 0.0]])] * 7 + [np.array([[1.0, 0.0], [1.0, 0.0]])] * 3
    unknown = np.full(10, np.nan)
    report = matching_report(
        {"l2": errors}, [""] * 10, np.full(10, 8), np.full(10, 0.5), unknown, unknown
    )
    content = {"run": {}, "sets": {"own": report.summary()}}
    (tmp_path / "b/summary.json").write_text(json.dumps(content))
    said = diffclf("costs", "a", "b", "--output=costs.csv").stdout
    assert "70.0*" in said
    assert "*: text score" in said
    with (tmp_path / "costs.csv").open() as file:
        measures = {row["run"]: (row["measure"], row["accuracy"]) for row in csv.DictReader(file)}
    assert measures["b"] == ("text_score", "0.7")
    assert measures["a"][0] == "accuracy"


def test_what_has_no_costs_is_said(diffclf, runs, tmp_path):
    assert ".csv or .md" in diffclf("costs", "a", "--output=costs.txt", code=2).stderr
    assert "RUN to be" in diffclf("costs", "nowhere", code=2).stderr
    file = tmp_path / "b/summary.json"
    file.write_text(json.dumps({"run": {}, "sets": {}}))
    assert "known labels" in diffclf("costs", "b", code=2).stderr
    assert "b is left out" in diffclf("costs", "a", "b").stdout
