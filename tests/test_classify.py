"""``diffclf classify``: one image, one line."""

import json

import pytest
import torch
from PIL import Image

from diffclf_lightning import AutoDenoiser, DiffusionClassifier, Full, Racing
from diffclf_lightning.datamodules import Digits

DIT, TEXT = ["--denoiser", "diffclf/digits-dit"], ["--denoiser", "diffclf/digits-text"]
TEMPLATE = ["--template", "a photo of the number {}"]


@pytest.fixture
def digits(tmp_path):
    """Three held-out digits as files, the last in a folder."""
    images = Digits().test_sets()["digits"]
    (tmp_path / "more").mkdir()
    for i, name in enumerate(["a.png", "b.png", "more/c.png"]):
        images.image(i).save(tmp_path / name)
    return [Digits.classnames[images.labels[i]] for i in range(3)]


def test_images_and_folders_among_all_classes(digits, diffclf):
    run = diffclf("classify", "a.png", "b.png", "more", *DIT, "--trials", "30", "--top", "2")
    table = [line.split() for line in run.stdout.splitlines() if ".png" in line]
    assert [row[0] for row in table] == ["a.png", "b.png", "more/c.png"]
    assert [row[1] for row in table] == digits
    assert "alibrated" not in run.stdout
    shown = [line for line in run.stdout.splitlines() if "%" in line]
    assert len(shown) == 6


def test_json_is_what_the_library_says(digits, diffclf, tmp_path):
    names = ["nine", digits[0], digits[1]]
    run = diffclf("classify", "a.png", *DIT, "--names", ",".join(names), "--trials=20", "--json")
    (said,) = json.loads(run.stdout)
    classifier = DiffusionClassifier(
        AutoDenoiser.from_pretrained("diffclf/digits-dit"), Racing(max_trials=20)
    )
    guess = classifier.classify(tmp_path / "a.png", names)
    assert (said["class"], said["evaluations"]) == (guess.name, guess.evaluations)
    for row in said["classes"]:
        assert row["error"] == pytest.approx(guess.scores[row["class"]], abs=1e-6)
        assert row["probability"] == pytest.approx(guess.probabilities[row["class"]], abs=1e-5)
    assert {row["class"] for row in said["classes"]} == set(names)


def test_words_and_captions(digits, diffclf, tmp_path):
    few = ["--trials=20", "--json"]
    names = [digits[0], "seven", "four"]
    run = diffclf("classify", "a.png", *TEXT, "--names", *names, *TEMPLATE, *few)
    by_name = json.loads(run.stdout)[0]
    captions = [f"a photo of the number {name}" for name in names]
    (tmp_path / "captions.txt").write_text("\n".join(captions) + "\n\n")
    (tmp_path / "captions.csv").write_text("prompt,other\n" + "\n".join(f"{c},1" for c in captions))
    kinds = [captions, ["captions.txt"], ["captions.csv"]]
    for prompts in kinds:
        run = diffclf("classify", "a.png", *TEXT, "--prompts", *prompts, *few)
        (said,) = json.loads(run.stdout)
        assert said["class"] == f"a photo of the number {by_name['class']}" == captions[0]
        errors = [row["error"] for row in said["classes"]]
        assert errors == pytest.approx([row["error"] for row in by_name["classes"]], abs=1e-5)


def test_the_figure_and_the_seed(digits, diffclf, tmp_path):
    run = ["classify", "a.png", *DIT, "--trials=4", "--json"]
    diffclf(*run, "--save-figure", "f.png")
    assert Image.open(tmp_path / "f.png").size[0] > 200
    first, again, other = (
        [row["error"] for row in json.loads(diffclf(*run, f"--seed={seed}").stdout)[0]["classes"]]
        for seed in (0, 0, 1)
    )
    assert first == pytest.approx(again, abs=1e-6)
    assert first != pytest.approx(other, abs=1e-3)


def test_without_a_fitted_temperature_it_says_so(digits, diffclf, tmp_path):
    denoiser = AutoDenoiser.from_pretrained("diffclf/digits-dit")
    denoiser.calibration = None
    denoiser.save_pretrained(tmp_path / "own")
    run = diffclf("classify", "a.png", "--denoiser=own", "--trials=2")
    assert "Not calibrated" in run.stdout
    assert digits[0] in run.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope.png", *DIT], "Expected IMAGE to name images, but got 'nope.png'"),
        (["broken.png", *DIT], "Expected an image that can be read, but got 'broken.png'"),
        (["a.png"], "Expected --names or --prompts"),
        (["a.png", *TEXT], "Expected --names or --prompts, since diffclf/digits-text has no"),
        (["a.png", *DIT, "--prompts", "x", "y"], "Expected no --prompts"),
        (["a.png", *DIT, "--names", "zero", "--trials=2"], "at least two, all different"),
        (["a.png", *TEXT, "--prompts", "a.png"], "'a.png' is no text in UTF-8"),
        (["a.png", *TEXT, "--prompts", "x" * 300, "x" * 300], "at least two, all different"),
        (["a.png", *DIT, "--names", "zero", "zero"], "at least two, all different"),
        (["a.png", *DIT, "--names", "zero", "ate"], "but got 'ate' (nearest:"),
        (["a.png", *DIT, "--names", "zero,one", "--prompts", "x"], "either --names or --prompts"),
        (["a.png", *DIT, "--template", "a {}"], "--template with --names"),
        (["a.png", *DIT, "--trials=0"], "--trials to be at least 1"),
        (["a.png", *DIT, "--dtype=int8"], "--dtype to be one of float32"),
        (["a.png", *DIT, "--device=gpu"], "--device to be one that torch has"),
        (["a.png", *DIT, "--trials=1", "--save-figure=f.xyz"], "--save-figure to be a file"),
        (["a.png", "--denoiser=diffclf/digit"], "diffclf/digits-dit"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(digits, diffclf, tmp_path, args, message):
    (tmp_path / "broken.png").write_bytes(b"no image")
    run = diffclf("classify", *args, code=2)
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_pixels_of_a_float_tensor_are_those_of_its_bytes(seed):
    pixels = torch.randint(256, (1, 8, 8), dtype=torch.uint8)
    classifier = DiffusionClassifier(AutoDenoiser.from_pretrained("diffclf/digits-dit"), Full(2))
    one, other = classifier.classify([pixels, pixels.float() / 255])
    assert list(one.scores.values()) == pytest.approx(list(other.scores.values()), abs=1e-5)
