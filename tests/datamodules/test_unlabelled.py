"""Images without labels: files, folders, patterns and tables, for predict alone."""

import json

import own_images
import pyarrow.parquet as pq
import pytest
from PIL import Image

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import ImageCSV, ImageFiles


@pytest.fixture
def flat(tmp_path, monkeypatch):
    """Three images in one folder, of the classes 0, 1 and 2."""
    (tmp_path / "flat/deep").mkdir(parents=True)
    for name, level in zip(["a", "b", "deep/c"], own_images.LEVELS.values(), strict=True):
        Image.new("L", (8, 8), level).save(tmp_path / f"flat/{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "flat"


def predicted(module):
    classifier = own_images.classifier()
    batches = own_images.trainer().predict(classifier, module)
    assert classifier.reports == {}
    return {k: int(p) for b in batches for k, p in zip(b.keys, b["prediction"], strict=True)}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ("flat", {"flat/a.png": 0, "flat/b.png": 1, "flat/deep/c.png": 2}),
        ("flat/b.png", {"flat/b.png": 1}),
        ("flat/*.png", {"flat/a.png": 0, "flat/b.png": 1}),
        ("**/c.*", {"flat/deep/c.png": 2}),
        (["flat/deep", "flat/?.png", "flat/a.png"], 3),
    ],
)
def test_files_folders_and_patterns_are_predicted(flat, paths, expected):
    found = predicted(ImageFiles(paths, batch_size=2))
    assert found == expected or len(found) == expected
    absolute = ImageFiles(str(flat / "b.png"))
    assert list(predicted(absolute).values()) == [1]


def test_samples_have_no_label(flat):
    module = ImageFiles("flat")
    module.setup("predict")
    assert "label" not in module.test_sets()["files"][0]
    assert module.classnames is None
    assert ImageFiles("flat", classnames=["x", "y"]).classnames == ("x", "y")


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ("flat/z*.png", "'flat/z*.png', which is no file"),
        (["flat", "nothing"], "'nothing', which is no file"),
        ("empty", "'empty', which has none (.jpg"),
        ([], "an empty list"),
    ],
)
def test_paths_that_lead_to_nothing_are_named(flat, paths, said):
    (flat.parent / "empty").mkdir()
    with pytest.raises(InputError, match="`paths`") as caught:
        ImageFiles(paths).setup("predict")
    assert said in str(caught.value)


def test_a_table_without_labels_is_predicted(flat):
    (flat / "t.csv").write_text("path\nb.png\ndeep/c.png\n")
    assert predicted(ImageCSV("flat/t.csv")) == {"b.png": 1, "deep/c.png": 2}
    assert ImageCSV("flat/t.csv").classnames is None


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_other_stages_need_labels_and_say_so(flat, stage):
    (flat / "t.csv").write_text("path\nb.png\n")
    for module, said in (
        (ImageFiles("flat"), "images without labels"),
        (ImageCSV("flat/t.csv"), "no column label"),
    ):
        with pytest.raises(InputError, match=f"for `{stage}`, but got {said}.*`predict`"):
            module.setup(stage)


def test_a_list_of_files_is_predicted_on_the_command_line(diffclf, flat):
    diffclf(
        "predict", "--config", "digits", "--data", "ImageFiles", "--data.paths",
        json.dumps(["flat/deep", "flat/?.png"]), "--results.folder", "run",
    )  # fmt: skip
    rows = pq.read_table("run/images.parquet").to_pylist()
    assert {row["key"] for row in rows} == {"flat/a.png", "flat/b.png", "flat/deep/c.png"}
    assert {row["label"] for row in rows} == {None}
    out = diffclf(
        "test", "--config", "digits", "--data", "ImageFiles", "--data.paths", "flat", code=2
    )
    assert "Expected labelled images for `test`" in out.stderr
