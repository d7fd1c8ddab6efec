"""1, 2 and 3 processes: every image counts once and gets the same answer."""

import json
import os
import random
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import tiny
import tiny_examples
from forked import diffclf, on_ranks

FEW = [
    "--trainer.accelerator=cpu", "--model.strategy.max_trials=4",
    "--model.evaluations_per_batch=256",
]  # fmt: skip


def evaluated(folder, processes, *arguments):
    """The command line in so many processes, which are told of each other as torchrun does it."""
    if processes > 1:
        ended = [one.end() for one in on_ranks(folder, processes, "test", *arguments)]
    else:
        ended = [diffclf(folder, "test", *arguments)]
    assert [one.code for one in ended] == [0] * processes, ended


def run(folder, processes, images):
    arguments = [f"--data.num_test={images}", "--data.batch_size=32", f"--results.folder={folder}"]
    evaluated(folder.parent, processes, "--config", "digits", *FEW, *arguments)
    return found(folder)


def found(folder):
    rows = pq.read_table(folder / "images.parquet").sort_by("key").to_pylist()
    summary = json.loads((folder / "summary.json").read_text())["sets"]["digits"]
    return rows, summary


@pytest.mark.parametrize("images", [131, 7])
def test_number_of_processes_changes_nothing(tmp_path, images):
    single, summary = run(tmp_path / "1", 1, images)
    assert summary["total"] == images
    for processes in (2, 3):
        rows, several = run(tmp_path / str(processes), processes, images)
        assert several["total"] == images == len({r["key"] for r in rows}) == len(rows)
        assert [r["prediction"] for r in rows] == [r["prediction"] for r in single]
        for mine, theirs in zip(rows, single, strict=True):
            assert mine["scores"] == pytest.approx(theirs["scores"], abs=1e-5)
        for key in ("correct", "evaluations", "mean_per_class_accuracy", "top5_accuracy"):
            assert several[key] == pytest.approx(summary[key])
        for key in ("negative_log_likelihood", "calibration_error"):
            assert several[key] == pytest.approx(summary[key], abs=1e-4)


def test_more_processes_than_images_that_the_command_line_starts_itself(tmp_path):
    """One of the two has nothing to do."""
    command = [sys.executable, "-m", "diffclf_lightning", "test", "--config", "digits", *FEW]
    subprocess.run(
        [*command, "--trainer.strategy=ddp", "--trainer.devices=2", "--data.num_test=1",
         "--results.folder=r"],
        check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=tmp_path,
    )  # fmt: skip
    assert found(tmp_path / "r")[1]["total"] == 1


def test_effective_robustness_is_that_of_one_process(tmp_path):
    """The callback counts over all ranks, and one of them writes."""
    written = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        evaluated(
            tmp_path, processes, "--config", "digits_shifts", *FEW, "--data.num_test=101",
            "--data.test_sets=[digits,noise_0.25]", f"--results.folder={folder}",
        )  # fmt: skip
        written.append((folder / "robustness.csv").read_text())
    assert written[0] == written[1]
    assert "noise_0.25" in written[0]


def test_examples_of_images_and_captions_count_once(tmp_path, seed):
    tiny.stable_diffusion_pipeline("epsilon").save_pretrained(tmp_path / "model")
    rows = tiny_examples.winoground_rows(random.Random(seed), count=7)
    tiny_examples.winoground_files(tmp_path / "data", rows)
    every = []
    for processes in (1, 2):
        evaluated(
            tmp_path, processes, "--config", "composition/winoground",
            "--model.denoiser.pretrained_model_name_or_path=model",
            "--model.denoiser.image_size=16", "--model.strategy.trials=4", "--data.root=data",
            "--data.num_workers=0", "--data.batch_size=2", "--trainer.accelerator=cpu",
            f"--results.folder={processes}",
        )  # fmt: skip
        stored = pq.read_table(tmp_path / str(processes) / "images.parquet").to_pylist()
        summary = json.loads((tmp_path / str(processes) / "summary.json").read_text())
        report = summary["sets"]["winoground"]
        every.append(({row["key"]: dict(row["scores"]) for row in stored}, report["scores"]))
        assert len(stored) == report["total"] == 7
    (one, counts), (two, same) = every
    assert counts == same
    assert one.keys() == two.keys()
    for key, scores in one.items():
        for name, values in scores.items():
            assert values == pytest.approx(two[key][name], abs=1e-6)
