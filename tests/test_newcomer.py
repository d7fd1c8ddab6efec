"""A newcomer's day: ten commands, a line each, from a folder of images to a report."""

import json
import shlex

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from diffclf_lightning.datamodules import Digits

DAY = """\
fit -c train_folder_dit --data.root photos --results.folder own --trainer.max_steps 120
test -c own/config.yaml --ckpt_path own/checkpoints/last.ckpt --results.folder a
test -c folder --denoiser own/denoiser --data ImageFolders \
--data.roots [photos,turned] --results.folder b
predict -c folder --denoiser own/denoiser --data ImageFiles --data.paths new --results.folder p
classify new --denoiser own/denoiser
fit -c baselines/folder --data.root photos --results.folder n --trainer.max_steps 30
test -c n/config.yaml --ckpt_path n/checkpoints/last.ckpt --data ImageFolders \
--data.roots [photos,turned] --results.folder m
compare b m --output compare.csv
robustness b --baselines m --pairs photos:turned --output r
report b m --output report.html
""".splitlines()
TRAIN, TEST = range(300), range(1297, 1377)
NEW = range(1377, 1385)


@pytest.fixture
def digits(tmp_path):
    """Digits as PNG files: some grey, some RGB, one of 16 bits; folders do not sort as numbers."""
    digits = Digits()
    pixels = (digits.images * 255).round().astype(np.uint8)

    def write(folder, places, turned=False, flat=False):
        for i in places:
            image = Image.fromarray(pixels[i])
            if turned:
                image = image.rotate(20, Image.Resampling.BILINEAR)
            elif i % 3 == 0:
                image = image.convert("RGB")
            elif i == TEST[1]:
                image = Image.fromarray(pixels[i].astype(np.uint16) * 257)
            name = "" if flat else digits.classnames[digits.labels[i]]
            (tmp_path / folder / name).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / folder / name / f"{i}.png")

    write("photos/train", TRAIN)
    write("photos/test", TEST)
    write("turned", TEST, turned=True)
    write("new", NEW, flat=True)
    return digits


def rows(folder):
    found = pq.read_table(folder / "images.parquet").to_pylist()
    return {(row["set"], row["key"]): row for row in found}


def test_ten_commands_of_a_line(digits, diffclf, tmp_path):
    assert len(DAY) == 10
    assert max(map(len, DAY)) + len("diffclf ") <= 140
    said = [diffclf(*shlex.split(command)).stdout for command in DAY]
    assert "diffclf test --config own/config.yaml --ckpt_path" in said[0]
    from_checkpoint, from_export = rows(tmp_path / "a"), rows(tmp_path / "b")
    shared = {key[1].removeprefix("test/"): row for key, row in from_checkpoint.items()}
    assert len(shared) == 80
    for (set_name, key), row in from_export.items():
        if set_name == "photos":
            same = shared[key.removeprefix("test/")]
            assert (same["prediction_name"], same["digest"]) == (
                row["prediction_name"], row["digest"],
            )  # fmt: skip
            assert same["scores"] == pytest.approx(row["scores"], abs=1e-5)
            assert same["confidence"] == pytest.approx(row["confidence"], abs=1e-4)
    assert len(from_export) == 160
    predicted = rows(tmp_path / "p")
    assert len(predicted) == len(NEW)
    assert {row["label"] for row in predicted.values()} == {None}
    classified = [line.split() for line in said[4].splitlines() if ".png" in line]
    assert len(classified) == len(NEW)
    summaries = [json.loads((tmp_path / f / "summary.json").read_text())["sets"] for f in "bm"]
    for summary in summaries:
        assert f"{summary['photos']['correct']}/80" in said[7]
        assert summary["photos"]["accuracy"] > 0.2  # a tenth would be chance
    assert "turned" in said[8]
    assert "no line" in said[8] or "too few" in said[8]
    page = (tmp_path / "report.html").read_text()
    assert "seven" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_embedded_model_knows_the_folders_by_their_names(digits, diffclf, tmp_path):
    """Sorted, they begin with eight and five."""
    few = ["--model.strategy.max_trials=30", "--results.folder=e"]
    diffclf("test", "-c", "folder", "--denoiser=diffclf/digits-dit", "--data.root=photos", *few)
    found = rows(tmp_path / "e").values()
    assert next(row["label_name"] for row in found) == "eight"
    assert sum(row["label_name"] == row["prediction_name"] for row in found) >= 78
