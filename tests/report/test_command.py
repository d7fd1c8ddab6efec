"""``diffclf report`` over finished runs, as a person would use it."""

import json
import re
import shutil

import pyarrow.parquet as pq
import pytest
from made import make_run

from diffclf_lightning.results import RunFolder

CHEAP = [
    "--data.num_test=20", "--trainer.callbacks=[]", "--trainer.enable_progress_bar=false",
    "--model.strategy=Staged", "--model.strategy.trials=[2,4]", "--model.strategy.keep=[3,1]",
]  # fmt: skip


def test_a_run_of_the_command_line(diffclf, tmp_path):
    test = ["test", "--config", "digits", *CHEAP, "--results.folder", "r"]
    diffclf(*test, "--results.errors=true")
    out = diffclf("report", "r").stdout
    assert out.endswith("Report: r/report.html\n")
    page = (tmp_path / "r/report.html").read_text(encoding="utf-8")
    summary = json.loads((tmp_path / "r/summary.json").read_text())["sets"]["digits"]
    assert f"{summary['correct']}/20" in page
    for told in ("diffclf test --config r/config.yaml", "diffclf/digits-dit", "Digits"):
        assert told in page
    assert page.count("data:image/webp") >= 20
    # Without thumbnails it is the same run, and goes on.
    diffclf(*test, "--results.errors=true", "--results.thumbnails=0")
    assert RunFolder("r").rows(["thumbnail"])["thumbnail"].null_count == 0


def test_several_runs_and_a_file_of_ones_own(diffclf, tmp_path, seed):
    for name in ("a", "b"):
        make_run(tmp_path / name, images=6)
    out = diffclf("report", "a", "b").stdout
    (file,) = (tmp_path / "runs").iterdir()
    assert re.search(r"Report: runs/report-\d+-\d+\.html\n$", out)
    assert file.name in out
    diffclf("report", "a", "b", "--output", "new/both.html")
    assert "Report of 2 runs" in (tmp_path / "new/both.html").read_text(encoding="utf-8")


def test_an_unfinished_run_has_a_report(diffclf, tmp_path, seed):
    make_run(tmp_path / "a", images=6)
    (tmp_path / "a/summary.json").unlink()
    diffclf("report", "a")
    assert "not yet" in (tmp_path / "a/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["absent"],
            "Expected RUN to be the folder of a run, but there is no such folder as 'absent'",
        ),
        (["a", "a/../a"], "each folder once, but got 'a/../a' twice"),
        (["a", "--output", "."], "--output to be a file"),
        (["a", "--output", "a/run.json/x.html"], "a/run.json of a/run.json/x.html is a file"),
        (["a", "damaged"], "images.parquet' to be a whole Parquet file"),
        (["a", "other"], "rows of a classification, but those of 'other' have no prediction"),
    ],
)
def test_bad_input_gets_one_error(diffclf, tmp_path, seed, args, message):
    make_run(tmp_path / "a", images=6)
    for name in ("damaged", "other"):
        shutil.copytree(tmp_path / "a", tmp_path / name)
    (tmp_path / "damaged/images.parquet").write_text("cut off")
    table = pq.read_table(tmp_path / "other/images.parquet").drop_columns(["prediction"])
    pq.write_table(table, tmp_path / "other/images.parquet")
    said = diffclf("report", *args, code=2).stderr
    assert message in said
    assert "Traceback" not in said
