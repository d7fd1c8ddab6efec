"""Matching through the command line: the scores of a plain loop over diffusers' own pipeline."""

import csv
import json
import random as randoms

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import tiny_examples
import torch
from diffusers import StableDiffusionPipeline
from torchvision.transforms import CenterCrop, Resize
from torchvision.transforms.functional import InterpolationMode, pil_to_tensor

from diffclf_lightning.metrics import Matched

TIMES = (125, 375, 625, 875)
"""The times of four trials."""
SMALL = ("--model.denoiser.pretrained_model_name_or_path=model", "--model.denoiser.image_size=16",
         "--data.num_workers=0", "--trainer.accelerator=cpu", "--data.root=data")  # fmt: skip


@pytest.fixture
def rows(tmp_path, seed):
    tiny.stable_diffusion_pipeline("epsilon").save_pretrained(tmp_path / "model")
    rows = tiny_examples.winoground_rows(randoms.Random(seed), count=7)
    tiny_examples.winoground_files(tmp_path / "data", rows)
    return rows


def stored(folder):
    return {row["key"]: row for row in pq.read_table(folder / "images.parquet").to_pylist()}


@torch.no_grad()
def plain_errors(pipeline, row, captions):
    """Errors of a row's two images under captions, (images, captions, trials), by a plain loop."""
    shrink = [Resize(16, InterpolationMode.BICUBIC), CenterCrop(16)]
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(4, 8, 8, generator=generator) for _ in TIMES]
    found = torch.zeros(2, len(captions), len(TIMES))
    for i in (0, 1):
        picture = row[f"image_{i}"]
        for step in shrink:
            picture = step(picture)
        pixels = pil_to_tensor(picture).float()[None] / 127.5 - 1
        x_0 = pipeline.vae.encode(pixels).latent_dist.mean * pipeline.vae.config.scaling_factor
        for c, caption in enumerate(captions):
            told, _ = pipeline.encode_prompt(caption, "cpu", 1, False)
            for j, t in enumerate(TIMES):
                abar = pipeline.scheduler.alphas_cumprod[t]
                x_t = abar.sqrt() * x_0 + (1 - abar).sqrt() * noise[j]
                said = pipeline.unet(x_t, t, encoder_hidden_states=told).sample
                found[i, c, j] = (said - noise[j]).square().mean()
    return found


def test_scores_are_those_of_a_plain_loop(rows, diffclf, tmp_path):
    run = ("test", "-c", "composition/winoground", *SMALL, "--model.strategy.trials=4")
    said = diffclf(*run, "--data.batch_size=3", "--results.folder=r", "--results.errors=true")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "model")
    found, expected = stored(tmp_path / "r"), {"l2": [], "l2-reference": []}
    assert len(found) == 7
    assert json.loads((tmp_path / "r/run.json").read_text())["trials"]["time"] == [
        "1/8", "3/8", "5/8", "7/8",
    ]  # fmt: skip
    for row in rows:
        captions = [row["caption_0"], row["caption_1"], ""]
        errors = plain_errors(pipeline, row, captions)
        mine = found[str(row["id"])]
        assert (mine["tag"], mine["captions"]) == (row["collapsed_tag"], captions[:2])
        assert mine["evaluations"] == 2 * 3 * 4
        by_trial = np.array(dict(mine["errors"])["l2"]).reshape(2, 2, 4)
        assert by_trial == pytest.approx(errors[:, :2].numpy(), abs=1e-5)
        told_nothing = np.array(dict(mine["reference_errors"])["l2"]).reshape(2, 4)
        assert told_nothing == pytest.approx(errors[:, 2].numpy(), abs=1e-5)
        means = errors.double().mean(dim=2).numpy()
        scores = {name: np.reshape(v, (2, 2)) for name, v in mine["scores"]}
        assert scores["l2"] == pytest.approx(means[:, :2], abs=1e-5)
        assert scores["l2-reference"] == pytest.approx(means[:, :2] - means[:, 2:], abs=1e-5)
        matched = Matched.of(scores["l2-reference"])
        assert (mine["text"], mine["image"], mine["group"]) == (
            matched.text, matched.image, matched.group,
        )  # fmt: skip
        for name, values in scores.items():
            expected[name].append(Matched.of(values))
    report = json.loads((tmp_path / "r/summary.json").read_text())["sets"]["winoground"]
    for name, every in expected.items():
        for kind in ("text", "image", "group"):
            right = sum(getattr(one, kind) for one in every)
            assert report["scores"][name]["all"][kind]["correct"] == right
    assert "Relation" in said.stdout
    assert "chance: text 25.0" in said.stdout

    again = diffclf("score", "r", "--score", "MeanError")
    assert "group" in again.stdout
    content = json.loads((tmp_path / "r/score-l2.json").read_text())["sets"]["winoground"]
    assert content["scores"]["l2"] == report["scores"]["l2"]


def test_a_batch_an_interruption_and_noise_of_each_example_change_nothing(rows, diffclf, tmp_path):
    run = ("test", "-c", "composition/winoground", *SMALL, "--model.strategy.trials=4")
    diffclf(*run, "--data.batch_size=7", "--results.folder=whole")
    diffclf(*run, "--data.batch_size=2", "--trainer.limit_test_batches=2", "--results.folder=cut")
    first = stored(tmp_path / "cut")
    diffclf(*run, "--data.batch_size=3", "--results.folder=cut")
    whole, cut = stored(tmp_path / "whole"), stored(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert len(first) == 4
    assert {key: cut[key]["seconds"] for key in first} == {
        key: row["seconds"] for key, row in first.items()
    }
    for key, row in whole.items():
        assert dict(row["scores"])["l2"] == pytest.approx(dict(cut[key]["scores"])["l2"], abs=1e-6)
        assert row["digest"] == cut[key]["digest"]
    own = ("--model.noise_per_image=true", "--results.errors=true")
    diffclf(*run, *own, "--data.batch_size=7", "--results.folder=own")
    diffclf(*run, *own, "--data.batch_size=2", "--results.folder=own2")
    own, own2 = stored(tmp_path / "own"), stored(tmp_path / "own2")
    for key, row in own.items():
        one, other = dict(row["scores"])["l2"], dict(own2[key]["scores"])["l2"]
        assert one == pytest.approx(other, abs=1e-6)
        assert one != pytest.approx(dict(whole[key]["scores"])["l2"], abs=1e-6)


def test_comparing_stops_early_with_the_same_first_trials(rows, diffclf, tmp_path):
    run = ("test", "-c", "composition/winoground", *SMALL, "--results.errors=true")
    diffclf(*run, "--model.strategy=Comparing", "--model.strategy.max_trials=40",
            "--model.strategy.level=0.2", "--results.folder=early")  # fmt: skip
    diffclf(*run, "--model.strategy=Full", "--model.strategy.trials=40",
            "--model.grid=GoldenGrid", "--results.folder=full")  # fmt: skip
    early, full = stored(tmp_path / "early"), stored(tmp_path / "full")
    numbers = []
    for key, row in early.items():
        (trials,) = set(row["trial_counts"])
        numbers.append(trials)
        mine = np.array(dict(row["errors"])["l2"]).reshape(4, trials)
        every = np.array(dict(full[key]["errors"])["l2"]).reshape(4, 40)
        assert mine == pytest.approx(every[:, :trials], abs=1e-5)
        assert row["evaluations"] == 6 * trials
    assert min(numbers) < 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.strategy=Racing"], "Take Full, or Comparing"),
        (["--model.shortlist=GradientShortlist", "--model.shortlist.keep=1"], "no `shortlist`"),
        (["--model.task=Classification"], "`task` to be Matching for Winoground"),
        (["--model.template=a {}"], "Expected no `template` and no `candidates` for Matching"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message, rows, diffclf):
    found = diffclf("test", "-c", "composition/winoground", *SMALL, *arguments, code=2)
    assert message in found.stderr.replace("\n", " ")
    assert "evaluations" not in found.stderr


def test_comparing_is_no_strategy_of_single_images(diffclf):
    found = diffclf("test", "-c", "digits_text", "--model.strategy=Comparing", code=2)
    assert "decides about single images" in found.stderr


def test_a_caption_that_is_too_long_is_said_before_the_first_image(rows, diffclf, tmp_path):
    file = tmp_path / "data/data/examples.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[-1]["caption_1"] = "cat " * 80
    file.write_text("\n".join(map(json.dumps, lines)))
    found = diffclf("test", "-c", "composition/winoground", *SMALL, code=2)
    assert "at most 77 tokens" in found.stderr
    assert "evaluations" not in found.stderr


def test_other_sets_and_a_dry_run(diffclf, tmp_path, seed):
    random = randoms.Random(seed)
    tiny.stable_diffusion_pipeline("epsilon").save_pretrained(tmp_path / "model")
    tiny_examples.sugarcrepe(tmp_path / "sc", random)
    tiny_examples.whatsup(tmp_path / "wu", random)
    few = (*SMALL[:-1], "--model.strategy=Full", "--model.strategy.trials=2")
    said = diffclf("test", "-c", "composition/sugarcrepe", "--data.root=sc", *few, "--dry-run")
    assert " 24 " in said.stdout  # 6 examples of 2 captions, 2 trials each
    said = diffclf("test", "-c", "composition/sugarcrepe", "--data.root=sc", *few, "--dry-run",
                   "--model.score=RelativeToReference")  # fmt: skip
    assert " 36 " in said.stdout  # and as many of the empty caption as of one
    diffclf("test", "-c", "composition/sugarcrepe", "--data.root=sc", *few, "--results.folder=s")
    report = json.loads((tmp_path / "s/summary.json").read_text())["sets"]["sugarcrepe"]
    assert set(report["scores"]["l2"]) == {"all", "swap_obj", "add_att"}
    assert set(report["scores"]["l2"]["all"]) == {"text"}
    diffclf("test", "-c", "composition/whatsup", "--data.root=wu", "--data.grouped=true", *few,
            "--results.folder=w")  # fmt: skip
    report = json.loads((tmp_path / "w/summary.json").read_text())["sets"]["whatsup_a"]
    assert (report["total"], report["evaluations"]) == (2, 2 * 4 * 4 * 2)


def test_runs_are_compared_by_each_kind_of_score(rows, diffclf, tmp_path):
    run = ("test", "-c", "composition/winoground", *SMALL, "--model.strategy.trials=2")
    for seed in (0, 1):
        diffclf(*run, f"--model.seed={seed}", f"--results.folder={seed}")
    said = diffclf("compare", "0", "1", "--output=c.csv").stdout
    assert "Pairs on the same images of winoground, image score" in said
    with (tmp_path / "c-pairs.csv").open() as file:
        pairs = {row["set"]: row for row in csv.DictReader(file)}
    zero, one = stored(tmp_path / "0"), stored(tmp_path / "1")
    for kind in ("text", "image", "group"):
        both = sum(zero[key][kind] and one[key][kind] for key in zero)
        alone = sum(zero[key][kind] and not one[key][kind] for key in zero)
        row = pairs[f"winoground, {kind} score"]
        assert (row["both_right"], row["only_first_right"]) == (str(both), str(alone))
    with (tmp_path / "c.csv").open() as file:
        lines = {row["run"]: row for row in csv.DictReader(file)}
    assert float(lines["1"]["text_score"]) == pytest.approx(
        sum(row["text"] for row in one.values()) / 7
    )
    refused = diffclf("robustness", "0", code=2).stderr
    assert "Models have the sets none" in refused
    assert "Traceback" not in refused


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (["-c", "baselines/digits"], "Captions ask for a model that reads text"),
        (["-c", "digits", "--model.strategy=Comparing"], "class ids"),
    ],
)
def test_a_model_that_reads_no_text_is_refused(config, message, rows, diffclf):
    data = ("--data=Winoground", "--data.root=data", "--trainer.accelerator=cpu")
    found = diffclf("test", *config, *data, code=2)
    assert message in found.stderr


def own_set(tmp_path, *lines):
    picture = tiny_examples.picture(randoms.Random(0))
    for name in "ab":
        picture.save(tmp_path / f"{name}.png")
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, lines)))
    tiny.stable_diffusion_pipeline("epsilon").save_pretrained(tmp_path / "model")
    return (
        "test", "-c", "composition/own", *SMALL[:-1], "--data.file=own.jsonl",
        "--model.strategy=Full", "--model.strategy.trials=2",
    )  # fmt: skip


def test_one_example_is_enough(diffclf, tmp_path):
    line = {"images": ["a.png"], "captions": ["a cat", "a dog"], "tag": None}
    diffclf(*own_set(tmp_path, line), "--results.folder=r")
    (row,) = stored(tmp_path / "r").values()
    assert (row["tag"], row["image"], row["group"]) == ("", None, None)
    assert row["text"] in (True, False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"images": ["a.png"], "captions": ["a cat"]}, "nothing to compare"),
        ({"images": ["a.png"], "captions": ["a cat", "a cat"]}, "captions that differ"),
        ({"images": ["a.png"], "captions": ["a cat", "x"], "tag": "all"}, "other than 'all'"),
        ({"images": ["a.png"], "captions": ["a cat", "x"], "tag": ["x"]}, "a text `tag`"),
    ],
)
def test_examples_that_ask_nothing_are_refused(line, message, diffclf, tmp_path):
    found = diffclf(*own_set(tmp_path, line), code=2)
    assert message in found.stderr[found.stderr.index("diffclf: error: Expected") :]


def test_a_broken_picture_is_one_line_whatever_loads_it(diffclf, tmp_path):
    line = {"images": ["a.png"], "captions": ["a cat", "a dog"]}
    run = own_set(tmp_path, line)
    (tmp_path / "a.png").write_bytes(b"no picture at all")
    found = diffclf(*run, "--data.num_workers=1", code=2)
    said = found.stderr[found.stderr.index("diffclf: error:") :].strip()
    assert said.startswith("diffclf: error: Expected an image that can be read, but got a.png")
    assert "Traceback" not in said


def test_an_example_of_another_tag_does_not_go_on(diffclf, tmp_path):
    line = {"images": ["a.png"], "captions": ["a cat", "a dog"], "tag": "A", "key": "one"}
    diffclf(*own_set(tmp_path, line), "--results.folder=r")
    run = own_set(tmp_path, {**line, "tag": "B"})
    said = diffclf(*run, "--results.folder=r", code=2).stderr
    assert "captions or another tag for example 'one'" in said
    diffclf(*run, "--results.folder=r", "--results.overwrite=true")
    (row,) = stored(tmp_path / "r").values()
    assert row["tag"] == "B"


def test_examples_of_other_captions_are_not_compared(diffclf, tmp_path):
    lines = [{"images": ["a.png"], "captions": ["a cat", "a dog"]}] * 2
    lines = [{**line, "key": str(i)} for i, line in enumerate(lines)]
    run = own_set(tmp_path, *lines)
    diffclf(*run, "--results.folder=x")
    (tmp_path / "own.jsonl").write_text(
        "\n".join(json.dumps({**line, "captions": ["a cup", "a mug"]}) for line in lines)
    )
    diffclf(*run, "--results.folder=y")
    said = diffclf("compare", "x", "y").stdout
    assert "2 of 2 images have another label" in said
    assert "McNemar" not in said
