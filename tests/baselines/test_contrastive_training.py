"""A small CLIP trained from scratch: its loss, what is exported, and what it learns."""

import json
import math
import random

import open_clip
import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from safetensors.torch import load_file

from diffclf_lightning import Candidates, InputError
from diffclf_lightning.baselines import ContrastiveTraining, OpenClipZeroShot
from diffclf_lightning.baselines.contrastive_training import contrastive_loss
from diffclf_lightning.configurations import CONFIGS

SMALL = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 8, "patch_size": 4, "width": 16, "layers": 1, "head_width": 8},
    "text_cfg": {"context_length": 8, "width": 16, "heads": 2, "layers": 1},
}
WORDS = ["a", "the", "photo", "of", "cat", "dog", "bus", "above"]


@pytest.fixture
def training(seed):
    module = ContrastiveTraining(SMALL, WORDS, template=["a {}", "the photo of a {}", "{}"])
    module.log = lambda *args, **kwargs: None
    return module.eval()


def by_loops(logits, meant):
    """Minus the mean log-likelihood of each pair's partners, over rows and over columns."""
    size, total = len(meant), 0.0
    for own in range(size):
        partners = [other for other in range(size) if meant[other] == meant[own]]
        for line in (logits[own], logits[:, own]):
            whole = math.log(sum(math.exp(value) for value in line.tolist()))
            total -= sum(line[p].item() - whole for p in partners) / len(partners)
    return total / (2 * size)


def test_pairs_that_mean_the_same_share_the_target(seed):
    meant = [0, 1, 0, 2, 1, 0]
    logits = torch.randn(6, 6)
    same = torch.tensor([[a == b for b in meant] for a in meant])
    assert contrastive_loss(logits, same).item() == pytest.approx(by_loops(logits, meant), rel=1e-5)


def test_loss_of_different_pairs_is_open_clips(seed):
    images, texts = torch.randn(2, 5, 4)
    expected = open_clip.ClipLoss()(images, texts, 3.0)
    loss = contrastive_loss(3 * images @ texts.T, torch.eye(5).bool())
    assert torch.allclose(loss, expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_loss_of_captioned_images(training, channels):
    images = torch.randint(256, (5, channels, 8, 8), dtype=torch.uint8)
    captions = ["a cat", "a dog above the cat", "a bus", "a cat", "the cat above a dog"]
    could = torch.tensor([True, True, False, True, True])
    batch = {"image": images, "caption": captions, "readable": could}
    loss = training.training_step(batch, 0)

    kept = [0, 1, 3, 4]
    pixels = (images[kept] / 255 - 0.5) / 0.5
    network = training.network
    seen = network.encode_image(pixels.expand(-1, 3, -1, -1), normalize=True)
    read = [captions[row] for row in kept]
    read_embeddings = network.encode_text(training.tokenizer(read), normalize=True)
    logits = network.logit_scale.exp() * seen @ read_embeddings.T
    assert loss.item() == pytest.approx(by_loops(logits, read), rel=1e-4)


def test_captions_of_labels_are_drawn_from_their_templates(training, seed):
    training._candidates, _ = training.choices(["cat", "dog", "bus"])
    random.seed(seed)
    drawn = training._captions([2, 0, 1] * 60)
    for place, name in enumerate(["bus", "cat", "dog"]):
        assert set(drawn[place::3]) == {f"a {name}", f"the photo of a {name}", name}


def test_pairs_of_one_label_are_no_negatives(training, seed):
    training._candidates = Candidates([("a cat", "cat"), ("a dog",)], [0, 1])
    images = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8)
    labels = torch.tensor([0, 1, 0, 0])
    random.seed(seed)
    loss = training.training_step({"image": images, "label": labels}, 0)
    random.seed(seed)
    captions = training._captions(labels.tolist())
    with torch.no_grad():
        logits = training.compared(training.embed_images(images), training.embed(captions))
    assert loss.item() == pytest.approx(by_loops(logits, labels.tolist()), rel=1e-5)


def test_the_factor_on_cosines_is_bounded(training):
    for given, expected in ((9.0, 100.0), (2.0, math.exp(2)), (-1.0, 1.0)):
        torch.nn.init.constant_(training.network.logit_scale, given)
        training.on_train_batch_end(None, None, 0)
        assert training.network.logit_scale.exp().item() == pytest.approx(expected, rel=1e-5)


def test_fit_learns_and_exports_what_open_clip_reads(diffclf, tmp_path):
    few = ["--trainer.max_steps=80", "--data.batch_size=64", "--trainer.limit_val_batches=0"]
    fitted = diffclf(
        "fit", "--config=baselines/digits_clip_train", *few, "--trainer.enable_checkpointing=true"
    )
    assert "Model: runs/digits-clip" in fitted.stdout
    tests = ["--data.num_test=200", "--results.folder=r"]
    diffclf("test", "--config=baselines/digits_clip", "--model.model=runs/digits-clip", *tests)
    summary = json.loads((tmp_path / "r/summary.json").read_text())
    assert summary["sets"]["digits"]["correct"] > 80
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    stored = load_file(tmp_path / "runs/digits-clip/open_clip_model.safetensors")
    again = ContrastiveTraining.load_from_checkpoint(checkpoint, map_location="cpu")
    for name, value in again.network.state_dict().items():
        assert torch.equal(value, stored[name])
    loaded = OpenClipZeroShot(str(tmp_path / "runs/digits-clip"))
    prompts = ["the number two", "a handwritten seven", "three"]
    assert torch.allclose(again.eval().embed(prompts), loaded.embed(prompts), atol=1e-6)
    pixels = torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8)
    assert torch.allclose(again.embed_images(pixels), loaded.embed_images(pixels), atol=1e-6)
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'runs/digits-clip'}")(prompts)
    assert torch.equal(tokens, again.tokenizer(prompts))


def test_export_needs_a_folder(training, tmp_path):
    from diffclf_lightning.callbacks import ExportOpenClip

    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(InputError, match="`folder` of ExportOpenClip"):
        ExportOpenClip().on_fit_start(trainer, training)


def test_the_small_clip_has_the_captions_of_the_diffusion_model():
    small, diffusion = (
        yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
        for name in ("baselines/digits_clip_train", "digits_text_train")
    )
    other = diffusion["model"]["init_args"]
    assert small["model"]["init_args"]["template"] == other["template"]
    assert small["model"]["init_args"]["words"] == other["denoiser"]["init_args"]["words"]
    assert small["data"] == diffusion["data"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": {"embed_dim": 8}}, "`model` to have a `text_cfg` with the `context_length`"),
        ({"model": {**SMALL, "deep": 1}}, "`model` and `preprocess` .*TypeError.*deep"),
        ({"preprocess": {"resize_mode": "no"}}, "`model` and `preprocess` .*AssertionError"),
        ({"preprocess": {"mode": "L"}}, "`model` and `preprocess` .*AssertionError"),
    ],
)
def test_wrong_configurations_are_named(changed, message):
    with pytest.raises(InputError, match=message):
        ContrastiveTraining(**{"model": SMALL, "words": WORDS, **changed})


def test_the_embedded_model_knows_held_out_digits(diffclf, tmp_path):
    diffclf("test", "--config=baselines/digits_clip", "--results.folder=r")
    report = json.loads((tmp_path / "r/summary.json").read_text())["sets"]["digits"]
    assert report["total"] == 500
    assert report["correct"] >= 490
