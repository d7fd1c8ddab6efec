"""OpenClipZeroShot against open_clip itself, on tiny random models in folders."""

import json
import random
import shutil

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import tiny_clip
import tiny_examples
import tiny_sets
import torch
import yaml
from lightning.pytorch import Trainer
from open_clip import zero_shot_metadata
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets

from diffclf_lightning import Candidates, InputError, PromptEnsemble, PromptFile
from diffclf_lightning.baselines import OpenClipZeroShot
from diffclf_lightning.configurations import CONFIGS

NAMES = ["lion", "tiger cat", "big red bus", "5"]
TEMPLATES = ["a photo of a {}.", "{}", "a bad picture of the {} in the rain"]
PAPER = {
    "clip_rn50": ("RN50-quickgelu", "openai"),
    "clip_vit_l14": ("ViT-L-14-quickgelu", "openai"),
    "openclip_vit_h14": ("ViT-H-14", "laion2b_s32b_b79k"),
}


@pytest.fixture
def pictures(seed):
    rng = np.random.default_rng(seed)
    sizes = [(27, 33, 3), (40, 21, 3), (16, 16, 3)]
    return [Image.fromarray(rng.integers(0, 256, s, dtype=np.uint8)) for s in sizes]


@pytest.fixture
def folder(tmp_path, seed):
    return tiny_clip.write_clip(tmp_path / "model")


def pixels_of(classifier, pictures):
    pixels = torch.stack([classifier.transform(picture) for picture in pictures])
    assert pixels.dtype == torch.uint8
    return pixels


def logits_of(classifier, pictures, conditions):
    candidates = Candidates(conditions, range(len(conditions)))
    prepared, evaluations = classifier.prepare(candidates)
    assert evaluations == 1
    answer = classifier.answer(pixels_of(classifier, pictures), prepared)
    assert answer.evaluations.tolist() == [1] * len(pictures)
    return -answer.decisive


@pytest.mark.parametrize("name", tiny_clip.MODELS)
def test_images_and_logits_are_those_of_open_clip(name, pictures, tmp_path):
    model, transform, tokenizer = tiny_clip.loaded(tiny_clip.write_clip(tmp_path / "m", name))
    classifier = OpenClipZeroShot(str(tmp_path / "m"))
    images = torch.stack([transform(picture) for picture in pictures])
    assert torch.allclose(classifier.normalised(pixels_of(classifier, pictures)), images, atol=1e-5)
    with torch.no_grad():
        seen, read = model.encode_image(images), model.encode_text(tokenizer(NAMES))
        expected = seen / seen.norm(dim=1, keepdim=True) @ (read / read.norm(dim=1, keepdim=True)).T
        expected = model.logit_scale.exp() * expected
        expected += 0 if model.logit_bias is None else model.logit_bias
    logits = logits_of(classifier, pictures, NAMES)
    assert expected.std() > 0.01
    assert torch.allclose(logits, expected, atol=1e-5)
    classifier.candidates = Candidates(NAMES, range(4))
    probabilities = classifier(pixels_of(classifier, pictures)).exp()
    assert torch.allclose(probabilities, expected.softmax(dim=1).double(), atol=1e-5)


@pytest.mark.parametrize(
    ("template", "templates"),
    [
        (TEMPLATES, TEMPLATES),
        (TEMPLATES[0], TEMPLATES[:1]),
        ("OPENAI_IMAGENET_TEMPLATES", zero_shot_metadata.OPENAI_IMAGENET_TEMPLATES),
        ("SIMPLE_IMAGENET_TEMPLATES", zero_shot_metadata.SIMPLE_IMAGENET_TEMPLATES),
    ],
)
def test_ensembles_are_those_of_open_clip(template, templates, folder):
    model, _, tokenizer = tiny_clip.loaded(folder)
    expected = open_clip.build_zero_shot_classifier(model, tokenizer, NAMES, templates).T
    classifier = OpenClipZeroShot(str(folder), template=template)
    candidates = classifier.candidates_of(NAMES)
    assert len(candidates) == 4
    assert torch.allclose(classifier.embed(candidates.conditions), expected, atol=1e-5)


def test_prompts_of_a_class_can_compete(folder, pictures):
    classifier = OpenClipZeroShot(str(folder), candidates=PromptEnsemble(TEMPLATES, "min"))
    prompts = [template.format(name) for name in NAMES for template in TEMPLATES]
    best = logits_of(classifier, pictures, prompts).reshape(3, 4, 3).amax(dim=2)
    for guess, expected in zip(classifier.classify(pictures, NAMES), best, strict=True):
        scores = torch.tensor([guess.scores[name] for name in NAMES])
        assert torch.allclose(-scores, expected, atol=1e-5)


def test_whole_prompts_without_a_template(folder, pictures):
    classifier = OpenClipZeroShot(f"local-dir:{folder}")
    captions = ["a dog above a cat", "a cat above a dog"]
    guess = classifier.classify(pictures[0], captions)
    logits = logits_of(classifier, pictures[:1], captions)[0]
    assert guess.name == captions[int(logits.argmax())]
    assert guess.probability == pytest.approx(float(logits.softmax(0).max()), abs=1e-6)


def test_only_allowed_candidates_can_win(folder, pictures):
    classifier = OpenClipZeroShot(str(folder))
    prepared, _ = classifier.prepare(Candidates(NAMES, range(4)))
    allowed = torch.eye(4).bool()[[2, 0, 3]]
    answer = classifier.answer(pixels_of(classifier, pictures), prepared, allowed)
    assert answer.decisive.argmin(dim=1).tolist() == [2, 0, 3]
    assert answer.decisive.isfinite().equal(allowed)


@pytest.mark.parametrize("config", ["pets", "imagenet"])
def test_a_zero_shot_set_through_the_command_line(config, diffclf, folder, tmp_path, seed):
    rng = random.Random(seed)
    written = tiny_sets.WRITERS[{"imagenet": "imagenet_folders"}.get(config, config)]
    written = written(tmp_path / "data", rng)
    with pytest.MonkeyPatch.context() as patch:
        for dataset, attribute, value in written.patches:
            patch.setattr(getattr(datasets, dataset), attribute, value)
        few = ["--data.num_workers=0", "--trainer.accelerator=cpu", "--results.folder=r"]
        args = ["--config", f"zero_shot/{config}", "--config", "baselines/clip_vit_l14"]
        args += ["--model.model=model", "--model.pretrained=null", *few]
        diffclf("test", *args)
        again = diffclf("test", *args)
    summary = json.loads((tmp_path / "r/summary.json").read_text())
    report, run = summary["sets"][config], summary["run"]
    assert report["total"] == len(written.truth)
    assert report["evaluations_per_image"] == 1
    names = written.module("nowhere").classnames
    template = yaml.safe_load((CONFIGS / f"zero_shot/{config}.yaml").read_text())["model"]
    template = template["init_args"]["template"]
    assert run["candidates"] == [[template.format(name)] for name in names]
    assert "Traceback" not in again.stderr

    model, transform, tokenizer = tiny_clip.loaded(folder)
    weights = open_clip.build_zero_shot_classifier(model, tokenizer, names, [template])
    data = written.module(tmp_path / "data")
    images = data.test_sets()[config]
    with torch.no_grad():
        seen = torch.stack([transform(images.image(i)) for i in range(len(images))])
        logits = model.encode_image(seen, normalize=True) @ weights
    right = (logits.argmax(dim=1) == torch.tensor(images.labels)).sum()
    assert report["correct"] == right


def test_other_weights_do_not_continue_a_run(diffclf, folder, tmp_path, seed):
    args = ["test", "--config", "digits", "--config", "baselines/digits_clip"]
    args += ["--data.num_test=4", "--model.model=model", "--results.folder=r"]
    diffclf(*args)
    before = json.loads((tmp_path / "r/summary.json").read_text())["run"]["weights"]
    diffclf(*args)
    shutil.rmtree(folder)
    tiny_clip.write_clip(folder)
    run = diffclf(*args, code=2)
    assert "weights" in run.stderr
    assert before in run.stderr


class Pairs(torch.utils.data.Dataset):
    def __init__(self, classifier, pictures):
        self.images = pixels_of(classifier, pictures)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {"image": self.images[index], "label": index, "key": str(index)}


def test_a_set_that_needs_a_template_says_so(folder, pictures):
    classifier = OpenClipZeroShot(str(folder), classnames=["a", "b"])
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    with pytest.raises(InputError, match=r"`template` or `candidates`.*OPENAI_IMAGENET_TEMPLATES"):
        trainer.test(classifier, DataLoader(Pairs(classifier, pictures)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "ViT-L-15"}, r"open_clip [\d.]+ knows, a folder.*but got 'ViT-L-15'.*ViT-L-14"),
        ({"model": "ViT-B-32"}, r"`pretrained` to be a file.*laion2b_s34b_b79k.*but got None"),
        ({"model": "ViT-B-32", "pretrained": "opena"}, "tags of ViT-B-32 in open_clip.*'opena'"),
        ({"model": "ViT-L-14", "pretrained": "openai"}, "Take 'ViT-L-14-quickgelu'"),
        ({"model": "diffclf/cat"}, "`model` to name a contrastive model of the package.*'diffclf"),
        ({"model": "hf-hub:a/b", "pretrained": "x"}, "no argument `pretrained` with 'hf-hub:a/b'"),
        ({"model": "local-dir:nowhere"}, "Expected weights, configuration and tokenizer of 'local"),
        ({"model": "FOLDER", "template": "a photo"}, "`template` with a place.*'a photo'"),
        ({"model": "FOLDER", "template": []}, "at least one of `templates`"),
        (
            {"model": "FOLDER", "template": "a {}", "candidates": Candidates(["a"], [0])},
            "either `candidates` or `template`",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments, message, folder):
    given = {**arguments, "model": arguments["model"].replace("FOLDER", str(folder))}
    with pytest.raises(InputError, match=message):
        OpenClipZeroShot(**given)


def test_weights_that_do_not_fit_or_run_code_are_refused(folder, tmp_path):
    weights = folder / "open_clip_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="Expected weights, configuration and tokenizer"):
        OpenClipZeroShot(str(folder))
    weights.unlink()
    with pytest.raises(InputError, match="Expected weights, configuration and tokenizer"):
        OpenClipZeroShot(str(folder))
    torch.save({"state_dict": Trap()}, folder / "open_clip_pytorch_model.bin")
    with pytest.raises(InputError, match="Expected weights, configuration and tokenizer"):
        OpenClipZeroShot(str(folder))
    assert not Trap.sprung


class Trap:
    sprung = False

    def __reduce__(self):
        return spring, ()


def spring():
    Trap.sprung = True
    return Trap()


def test_a_prompt_that_is_cut_is_refused_before_the_first_image(diffclf, folder):
    args = ["test", "--config", "baselines/digits_clip", "--model.model=model"]
    run = diffclf(*args, f"--model.template={'one ' * 30}{{}}", code=2)
    assert "at most 20 tokens" in run.stderr
    assert "evaluations" not in run.stdout


def test_a_file_of_prompts(folder, tmp_path, pictures):
    (tmp_path / "p.csv").write_text("prompt,classname,label\nthe lion,a,0\na bus,b,1\n")
    classifier = OpenClipZeroShot(str(folder), candidates=PromptFile(tmp_path / "p.csv"))
    guess = classifier.classify(pictures[0], ["a", "b"])
    logits = logits_of(classifier, pictures[:1], ["the lion", "a bus"])[0]
    assert guess.name == "ab"[int(logits.argmax())]


@pytest.mark.parametrize("name", PAPER)
def test_configurations_of_the_paper(name):
    config = yaml.safe_load((CONFIGS / f"baselines/{name}.yaml").read_text())
    given = config["model"]["init_args"]
    assert (given["model"], given["pretrained"]) == PAPER[name]
    assert open_clip.get_model_config(given["model"]) is not None
    tag = open_clip.get_pretrained_cfg(given["model"], given["pretrained"])
    activation = open_clip.get_model_config(given["model"]).get("quick_gelu", False)
    assert tag["quick_gelu"] if "quickgelu" in given["model"] else not tag.get("quick_gelu", False)
    assert activation == ("quickgelu" in given["model"])
    assert "data" not in config
    assert "template" not in given


@pytest.mark.filterwarnings("ignore:Expected the 400 test images")
@pytest.mark.parametrize("batch_size", [2, 5])
def test_images_and_captions_are_matched_as_open_clip_scores_them(
    batch_size, diffclf, folder, tmp_path, seed
):
    rows = tiny_examples.winoground_rows(random.Random(seed), 9)
    tiny_examples.winoground_files(tmp_path / "w", rows)
    diffclf(
        "test", "--config=composition/winoground", "--config=baselines/clip_vit_l14",
        "--model.model=model", "--model.pretrained=null", "--data.root=w", "--data.num_workers=0",
        f"--data.batch_size={batch_size}", "--trainer.accelerator=cpu", "--results.folder=r",
    )  # fmt: skip
    stored = pq.read_table(tmp_path / "r/images.parquet").to_pylist()
    found = {one["key"]: one for one in stored}
    model, transform, tokenizer = tiny_clip.loaded(folder)
    rights = dict.fromkeys(("text", "image", "group"), 0)
    for row in rows:
        images = torch.stack([transform(row[f"image_{k}"]) for k in (0, 1)])
        texts = tokenizer([row["caption_0"], row["caption_1"]])
        with torch.no_grad():
            logits = model.get_logits(images, texts)[0]
        (_, scores), *_ = found[str(row["id"])]["scores"]
        assert torch.allclose(-torch.tensor(scores), logits.flatten(), atol=1e-5)
        (a, b), (c, d) = logits.tolist()
        text, image = a > b and d > c, a > c and d > b
        for kind, right in (("text", text), ("image", image), ("group", text and image)):
            rights[kind] += int(right)
    report = json.loads((tmp_path / "r/summary.json").read_text())["sets"]["winoground"]
    counted = report["scores"]["logit"]["all"]
    assert {kind: one["correct"] for kind, one in counted.items()} == rights
    assert report["evaluations_per_example"] == 2


@pytest.mark.filterwarnings("ignore:Expected the 400 test images")
def test_captions_that_are_cut_are_refused_before_the_first_image(diffclf, folder, tmp_path, seed):
    rows = tiny_examples.winoground_rows(random.Random(seed), 4)
    rows[-1]["caption_1"] = "one " * 30
    tiny_examples.winoground_files(tmp_path / "w", rows)
    run = diffclf(
        "test", "--config=composition/winoground", "--config=baselines/clip_vit_l14",
        "--model.model=model", "--model.pretrained=null", "--data.root=w", "--data.num_workers=0",
        "--data.batch_size=1", "--trainer.accelerator=cpu", "--results.folder=r", code=2,
    )  # fmt: skip
    assert "at most 20 tokens" in run.stderr
    assert not (tmp_path / "r/parts").exists()
