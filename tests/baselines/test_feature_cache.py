"""The cache of features, cut off, damaged and shared; heads that are trained from it."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from lightning.pytorch import Trainer
from safetensors import SafetensorError
from safetensors.torch import load_file

from diffclf_lightning import AutoDenoiser, InputError
from diffclf_lightning.baselines import (
    DenoiserFeatures,
    FeatureCache,
    FeatureClassifier,
    load_baseline,
)
from diffclf_lightning.baselines import feature_cache as module
from diffclf_lightning.datamodules import Digits

SHARD = 10


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(module, "SHARD", SHARD)
    monkeypatch.setattr(module, "AT_ONCE", 4)


@pytest.fixture(scope="module")
def denoiser():
    return AutoDenoiser.from_pretrained("diffclf/digits-dit")


class Counted(DenoiserFeatures):
    """Counts the images whose features are computed, and is cut off after some."""

    computed, most = 0, None

    def __call__(self, images):
        self.computed += len(images)
        if self.most is not None and self.computed > self.most:
            raise KeyboardInterrupt
        return super().__call__(images)


def images_of(denoiser, count=47):
    digits = Digits(num_test=count)
    digits.set_default_transform(denoiser.transform)
    return digits.test_dataloader()["digits"].dataset


def cache_of(denoiser, folder, **arguments):
    features = Counted(denoiser, **arguments)
    features.computed = 0
    return FeatureCache(features, folder)


def contents(folder):
    return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_features_from_disk_are_those_computed(denoiser, tmp_path):
    """Whatever the order and the number in which they are asked for."""
    cache, images = cache_of(denoiser, tmp_path / "c"), images_of(denoiser)
    cache.fill("digits", images)
    pixels = torch.stack([images[place]["image"] for place in range(47)])
    expected = torch.cat([cache.features(part) for part in pixels.split(1)])
    order = torch.randperm(47)
    assert torch.allclose(cache(pixels[order]), expected[order], atol=1e-5)
    stored = [load_file(file)["features"] for file in sorted(tmp_path.rglob("*.safetensors"))]
    assert [len(shard) for shard in stored] == [10, 10, 10, 10, 7]
    assert torch.equal(torch.cat(stored), cache(pixels))
    again = cache_of(denoiser, tmp_path / "c")
    again.fill("digits", images)
    assert again.features.computed == 0
    assert torch.equal(again(pixels / 255), cache(pixels))


@pytest.mark.parametrize("most", [3, 15, 46])
def test_a_cache_that_was_cut_off_ends_as_the_same_bytes(denoiser, tmp_path, most):
    images = images_of(denoiser)
    whole, cut = (cache_of(denoiser, tmp_path / name) for name in ("whole", "cut"))
    whole.fill("digits", images)
    cut.features.most = most
    with pytest.raises(KeyboardInterrupt):
        cut.fill("digits", images)
    assert contents(tmp_path / "cut") != contents(tmp_path / "whole")
    going_on = cache_of(denoiser, tmp_path / "cut")
    going_on.fill("digits", images)
    assert going_on.features.computed == 47 - most // SHARD * SHARD
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_run_that_was_killed_as_it_began_leaves_a_folder_that_is_new(denoiser, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "cache.json.7.partial").write_text('{"mod')
    cache_of(denoiser, tmp_path / "c")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.txt").touch()
    with pytest.raises(InputError, match="holds something else"):
        cache_of(denoiser, tmp_path / "d")


@pytest.mark.parametrize("error", [SafetensorError("No space left"), OSError(28, "No space left")])
def test_a_full_disk_is_one_line_and_leaves_nothing_half(denoiser, tmp_path, monkeypatch, error):
    cache = cache_of(denoiser, tmp_path / "c")

    def full(tensors, file):
        file.write_bytes(b"half")
        raise error

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(InputError, match=r"Expected to write .*No space left"):
        cache.fill("digits", images_of(denoiser))
    assert [file.name for file in (tmp_path / "c").rglob("*") if file.is_file()] == ["cache.json"]


@pytest.mark.parametrize("damage", ["bit", "short", "absent", "checksum", "images"])
def test_a_damaged_shard_is_found_and_made_again(denoiser, tmp_path, damage):
    images, cache = images_of(denoiser), cache_of(denoiser, tmp_path / "c")
    cache.fill("digits", images)
    before = contents(tmp_path / "c")
    (shard,) = tmp_path.rglob("00002.safetensors")
    data = bytearray(shard.read_bytes())
    if damage == "bit":
        data[-1] ^= 1
        shard.write_bytes(data)
    elif damage == "short":
        shard.write_bytes(data[:-100])
    elif damage == "absent":
        shard.unlink()
    elif damage == "checksum":
        shard.with_suffix(".json").write_text('{"blake2b": "')
    else:
        told = json.loads(shard.with_suffix(".json").read_text())
        shard.with_suffix(".json").write_text(json.dumps({**told, "images": ["no digest"]}))
    again = cache_of(denoiser, tmp_path / "c")
    again.fill("digits", images)
    assert again.features.computed == SHARD
    assert contents(tmp_path / "c") == before


def test_several_processes_make_the_same_cache(denoiser, tmp_path):
    """Each its own shards; none begins to read before all have written."""
    images = images_of(denoiser)
    cache_of(denoiser, tmp_path / "one").fill("digits", images)
    first, second = (cache_of(denoiser, tmp_path / "two") for _ in range(2))
    met = []

    def meet():
        met.append(None)
        if len(met) == 2:  # the first has written, and waits until the second has
            second.fill("digits", images, rank=1, world=2)

    first.fill("digits", images, rank=0, world=2, meet=meet)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert (first.features.computed, second.features.computed) == (27, 20)


def test_shards_of_another_process_that_are_not_to_be_seen_are_named(denoiser, tmp_path):
    cache = cache_of(denoiser, tmp_path / "c")
    with pytest.raises(InputError, match="all processes to see the folder"):
        cache.fill("digits", images_of(denoiser), rank=0, world=2)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"block": "transformer_blocks.0"}, "block"), ({"timestep": 99}, "timestep"),
     ({"seed": 1}, "seed")],
)  # fmt: skip
def test_other_features_are_refused(denoiser, tmp_path, arguments, name):
    cache_of(denoiser, tmp_path / "c")
    with pytest.raises(InputError, match=f"`cache` to be a folder of the same.*`{name}` was"):
        cache_of(denoiser, tmp_path / "c", **arguments)


def test_other_weights_and_other_folders_are_refused(denoiser, tmp_path):
    cache_of(denoiser, tmp_path / "c")
    other = AutoDenoiser.from_pretrained("diffclf/digits-dit")
    torch.nn.init.normal_(next(other.model.transformer_blocks[0].parameters()))
    with pytest.raises(InputError, match="`weights` was"):
        cache_of(other, tmp_path / "c")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").touch()
    with pytest.raises(InputError, match="holds something else"):
        cache_of(denoiser, tmp_path / "photos")


def test_too_little_space_is_said_before_the_first_image(denoiser, tmp_path, monkeypatch):
    cache = cache_of(denoiser, tmp_path / "c")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=288_767))
    # 47 images of 96 channels, 4 x 4, 4 bytes each: 288,768 bytes.
    with pytest.raises(InputError, match="space for 289 kB of features of digits"):
        cache.fill("digits", images_of(denoiser))
    assert cache.features.computed == 0
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=288_768))
    cache.fill("digits", images_of(denoiser))
    assert sum(f.stat().st_size for f in tmp_path.rglob("*.safetensors")) == pytest.approx(
        288_768, rel=0.05
    )


def test_images_that_the_cache_was_not_filled_with_are_computed_and_said(
    denoiser, tmp_path, recwarn
):
    cache = cache_of(denoiser, tmp_path / "c")
    known = images_of(denoiser, 5)[0]["image"]
    pixels = torch.stack([255 - known, known, known // 2])
    expected = DenoiserFeatures(denoiser)(pixels)
    assert torch.allclose(cache(pixels), expected, atol=1e-5)  # without a Trainer nothing is filled
    assert not [one for one in recwarn if "does not hold" in str(one.message)]
    cache.fill("digits", images_of(denoiser, 5))
    cache.features.computed = 0
    for _ in range(2):
        assert torch.allclose(cache(pixels), expected, atol=1e-5)
    assert cache.features.computed == 4
    (said,) = [one for one in recwarn if "does not hold" in str(one.message)]
    assert "2 of 3 images" in str(said.message)


def fitted(denoiser, cache, **data):
    torch.manual_seed(0)
    classifier = FeatureClassifier(denoiser, cache=cache, planes=8, blocks=1, stride=1)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        accelerator="cpu", max_steps=4, limit_val_batches=1, num_sanity_val_steps=0,
        enable_checkpointing=False, **quiet,
    )  # fmt: skip
    digits = Digits(**{"num_train": 47, "batch_size": 16, "augment": 0.0, "num_test": 9, **data})
    trainer.fit(classifier, datamodule=digits)
    return classifier, trainer, digits


def test_heads_from_whole_and_cut_caches_and_without_are_the_same(denoiser, tmp_path):
    whole, _, _ = fitted(denoiser, tmp_path / "whole")
    cut = cache_of(denoiser, tmp_path / "cut")
    cut.features.most = 25
    digits = Digits(num_train=47, augment=0.0)
    digits.set_default_transform(denoiser.transform)
    with pytest.raises(KeyboardInterrupt):
        cut.fill("train", digits.train_dataloader().dataset)
    going_on, _, _ = fitted(denoiser, tmp_path / "cut")
    plain, _, _ = fitted(denoiser, None)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, going_on.state_dict()[name]), name
        assert torch.allclose(weight.float(), plain.state_dict()[name].float(), atol=1e-4), name
    assert contents(tmp_path / "whole") == contents(tmp_path / "cut")
    assert not any(name.startswith("features") for name in whole.state_dict())


def test_augmented_images_are_refused_before_anything_is_computed(denoiser, tmp_path):
    with pytest.raises(InputError, match=r"'train' that are the same each time.*augment"):
        fitted(denoiser, tmp_path / "c", augment=1.0)
    assert not list(tmp_path.rglob("*.safetensors"))
    fitted(denoiser, None, augment=1.0)


def test_a_checkpoint_is_the_head_and_says_on_what_it_was_trained(denoiser, tmp_path):
    trained, trainer, digits = fitted(denoiser, tmp_path / "c")
    file = tmp_path / "head.ckpt"
    trainer.save_checkpoint(file)
    assert file.stat().st_size < 200_000
    loaded = FeatureClassifier.load_from_checkpoint(file, denoiser=denoiser, cache=None)
    pixels = torch.stack([images_of(denoiser, 9)[place]["image"] for place in range(9)])
    with torch.no_grad():
        expected = trained.network.eval()(trained.features(pixels))
        assert torch.allclose(loaded.eval()(pixels), expected, atol=1e-5)
    plain = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    Trainer(enable_progress_bar=False, **plain).test(loaded, datamodule=digits, verbose=False)
    report, labels = loaded.reports["digits"], torch.tensor(images_of(denoiser, 9).labels)
    assert report.correct == int((expected.argmax(dim=1) == labels).sum())
    assert loaded.describe()["features"]["block"] == "transformer_blocks.2"
    with pytest.raises(InputError, match="`denoiser` to be given"):
        load_baseline(file)
    other = AutoDenoiser.from_pretrained("diffclf/digits-dit")
    with pytest.raises(InputError, match="`timestep` was 100 and is 50 now"):
        FeatureClassifier.load_from_checkpoint(file, denoiser=other, timestep=50, cache=None)


def test_two_processes_train_on_the_cache_that_one_makes(denoiser, tmp_path, monkeypatch):
    monkeypatch.undo()  # the processes have shards of their real size
    digits = Digits(num_train=520, augment=0.0)
    digits.set_default_transform(denoiser.transform)
    cache_of(denoiser, tmp_path / "one").fill("train", digits.train_dataloader().dataset)
    subprocess.run(
        [sys.executable, "-m", "diffclf_lightning", "fit", "--config", "baselines/digits_features",
         "--denoiser=diffclf/digits-dit", "--model.cache=two", "--data.num_train=520",
         "--trainer.max_steps=2", "--trainer.limit_val_batches=0", "--trainer.strategy=ddp",
         "--trainer.devices=2", "--results.folder=f"],
        check=True, capture_output=True, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert len(list(tmp_path.glob("two/*/*.safetensors"))) == 3
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert (tmp_path / "f/checkpoints/last.ckpt").is_file()


def test_a_dry_run_writes_nothing(diffclf, tmp_path):
    small = ["--data.num_test=20", "--data.test_sets=[digits]", "--model.num_classes=10"]
    said = diffclf("test", "--config", "baselines/digits_features", *small, "--dry-run").stdout
    assert "digits" in said
    assert not list(tmp_path.rglob("*.safetensors"))


def test_fit_and_test_by_the_command_line(diffclf, tmp_path):
    short = ["--data.num_train=64", "--data.num_test=20", "--data.test_sets=[digits,fonts]"]
    fit = ["--trainer.max_steps=2", "--trainer.val_check_interval=1", "--results.folder=f"]
    diffclf("fit", "--config", "baselines/digits_features", *short, *fit)
    diffclf(
        "test", "--config", "f/config.yaml", "--ckpt_path", "f/checkpoints/last.ckpt", *short,
        "--results.folder=t",
    )  # fmt: skip
    summary = json.loads((tmp_path / "t/summary.json").read_text())
    assert summary["sets"]["digits"]["total"] == 20
    assert summary["run"]["features"]["block"] == "mid_block"
    shapes = {load_file(f)["features"].shape[1:] for f in tmp_path.rglob("*.safetensors")}
    assert shapes == {(64, 4, 4)}
    stored = {f.parent.name.split("-")[0] for f in tmp_path.rglob("*.safetensors")}
    assert stored == {"train", "val", "digits", "fonts"}
