"""No loader runs what a file holds: each says in a line that it does not read it."""

import json
import shutil
from argparse import ArgumentError

import hostile
import pytest
import tiny
import tiny_clip
import torch

from diffclf_lightning import DiffusionClassifier, InputError, baselines
from diffclf_lightning.baselines.loading import load_baseline
from diffclf_lightning.checkpoints import INSTANTIATOR
from diffclf_lightning.convert.checkpoint import Checkpoint
from diffclf_lightning.denoisers import AutoDenoiser
from diffclf_lightning.denoisers.skeleton import rebuilt
from diffclf_lightning.training_filter.heads import load_head

CLASSIFIER = "diffclf_lightning.classifier.DiffusionClassifier"
EMBEDDED = {
    "class_path": "diffclf_lightning.AutoDenoiser.from_pretrained",
    "init_args": {"pretrained_model_name_or_path": "diffclf/digits-dit"},
}
CODE = "import os\nos.mkdir({!r})\nclass Evil: pass\n"
TV = "SqueezeNet1_1_Weights.IMAGENET1K_V1"


@pytest.fixture
def marker(tmp_path):
    """What a hostile file would make; that it is not there is checked at the end."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    path = tmp_path_factory.mktemp("pipeline")
    tiny.stable_diffusion_pipeline("epsilon").save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def written(pipeline, tmp_path_factory):
    """Writes a file into a copy of the pipeline, in place of others, and gives the copy."""

    def write(name, content, instead=()):
        folder = tmp_path_factory.mktemp("copy") / "model"
        shutil.copytree(pipeline, folder)
        for pattern in instead:
            for file in folder.glob(pattern):
                file.unlink()
        (folder / name).write_bytes(content)
        return folder

    return write


def refused(call, *args, **kwargs):
    """The line that says why a file is refused."""
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    line = str(caught.value)
    assert "\n" not in line
    assert "weights_only=False" not in line
    assert "will likely succeed" not in line
    return line


def load(folder, **arguments):
    return AutoDenoiser.from_pretrained(str(folder), **arguments)


LOADERS = {
    "checkpoint": (DiffusionClassifier.load_from_checkpoint, ".ckpt"),
    "checkpoint of a baseline": (baselines.TimmClassifier.load_from_checkpoint, ".ckpt"),
    "baseline of any class": (load_baseline, ".ckpt"),
    "torchvision": (lambda f: baselines.TorchvisionClassifier(TV, checkpoint_path=str(f)), ".pth"),
    "timm": (lambda f: baselines.TimmClassifier("test_vit", checkpoint_path=str(f)), ".pth"),
    "head": (lambda f: load_head(str(f), "aesthetic"), ".pt"),
    "convert": (Checkpoint.read, ".pt"),
    "single file": (load, ".ckpt"),
}
KINDS = {
    one.__name__: one
    for one in (hostile.pickled, hostile.saved, hostile.saved_before, hostile.scripted)
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("loader", "suffix"), LOADERS.values(), ids=LOADERS)
def test_files_of_weights(loader, suffix, kind, marker, tmp_path):
    """Under their own names, and as safetensors and numpy's."""
    for name in (f"weights{suffix}", "weights.safetensors", "weights.npz"):
        file = tmp_path / name
        file.write_bytes(kind(marker))
        assert name in refused(loader, file)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("name", ["open_clip_pytorch_model.bin", "open_clip_model.safetensors"])
def test_weights_of_contrastive_models(name, kind, marker, tmp_path):
    folder = tiny_clip.write_clip(tmp_path / "clip")
    (folder / "open_clip_model.safetensors").unlink()
    (folder / name).write_bytes(kind(marker))
    assert str(folder) in refused(baselines.OpenClipZeroShot, str(folder))


WEIGHTS = {
    "unet/diffusion_pytorch_model.bin": ("unet/*.safetensors",),
    "unet/diffusion_pytorch_model.safetensors": ("unet/*.safetensors",),
    "text_encoder/pytorch_model.bin": ("text_encoder/*.safetensors",),
}
OTHERS = ("tokenizer/tokenizer.json", "unet/config.json", "model_index.json")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("name", [*WEIGHTS, *OTHERS])
def test_files_of_pipelines(name, kind, marker, written):
    folder = written(name, kind(marker), WEIGHTS.get(name, ()))
    assert str(folder) in refused(load, folder)


def test_lora(pipeline, marker, tmp_path):
    for suffix in ("bin", "safetensors"):
        file = tmp_path / f"pytorch_lora_weights.{suffix}"
        file.write_bytes(hostile.saved(marker))
        assert file.name in refused(load, pipeline, lora=str(file))


@pytest.mark.parametrize("auto", ["AutoTokenizer", "AutoProcessor", "DiffusionPipeline"])
def test_code_beside_a_component(auto, marker, written, monkeypatch):
    """Of a class that looks for another, which the folder brings; nobody is asked either."""
    library = "diffusers" if auto == "DiffusionPipeline" else "transformers"
    looked_up = dict.fromkeys(("AutoConfig", "AutoProcessor"), "evil.Evil")
    looked_up["AutoTokenizer"] = ["evil.Evil", "evil.Evil"]
    folder = written("scheduler/evil.py", CODE.format(str(marker)).encode())
    for name in ("config.json", "tokenizer_config.json", "processor_config.json"):
        told = {"auto_map": looked_up, "model_type": "evil"}
        (folder / "scheduler" / name).write_text(json.dumps(told))
    inside = {"_class_name": ["evil", "Evil"], "_diffusers_version": "0.30.0"}
    (folder / "scheduler/model_index.json").write_text(json.dumps(inside))
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = [library, auto]
    (folder / "model_index.json").write_text(json.dumps(index))
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked"))
    assert refused(load, folder)


@pytest.mark.parametrize("entry", [["os", "path"], ["diffusers", "utils"], [[1], {}], "x"])
def test_entries_of_an_index_that_are_no_components(entry, pipeline, tmp_path):
    shutil.copytree(pipeline, tmp_path / "model")
    index = json.loads((pipeline / "model_index.json").read_text())
    (tmp_path / "model/model_index.json").write_text(json.dumps({**index, "scheduler": entry}))
    assert "model_index.json" in refused(load, tmp_path / "model")


@pytest.mark.parametrize("asks", [{}, {"trust_remote_code": True}])
def test_code_beside_a_contrastive_model(asks, marker, tmp_path, monkeypatch):
    folder = tiny_clip.write_clip(tmp_path / "clip")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= {"hf_tokenizer_name": "x", "tokenizer_kwargs": asks}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text("{}")
    looked_up = {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(looked_up))
    (folder / "evil.py").write_text(CODE.format(str(marker)))
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked"))
    assert refused(baselines.OpenClipZeroShot, str(folder))


def checkpoint(file, **arguments):
    stored = {"_class_path": CLASSIFIER, "_instantiator": INSTANTIATOR, **arguments}
    content = {"state_dict": {}, "pytorch-lightning_version": "2.6.0", "hyper_parameters": stored}
    torch.save(content, file)
    return file


def test_a_checkpoint_that_names_what_makes_it(marker, tmp_path):
    file = checkpoint(tmp_path / "a.ckpt", denoiser=EMBEDDED, _instantiator="os.mkdir")
    assert "'os.mkdir', which is not run" in refused(DiffusionClassifier.load_from_checkpoint, file)


def test_a_checkpoint_whose_files_lead_elsewhere(marker):
    for name in (str(marker), f"../{marker.name}", "unet/../../ran"):
        assert "leads elsewhere" in refused(rebuilt, {name: ""}, {}, "float32", False)


def test_an_argument_of_a_checkpoint_is_of_its_type(marker, tmp_path):
    evil = {"class_path": "subprocess.Popen", "init_args": {"args": ["mkdir", str(marker)]}}
    inside = {**EMBEDDED, "init_args": {**EMBEDDED["init_args"], "quantization_config": evil}}
    for arguments in ({"denoiser": evil}, {"denoiser": inside}, {"score": evil}, {"compile": evil}):
        file = checkpoint(tmp_path / "a.ckpt", **{"denoiser": EMBEDDED, **arguments})
        with pytest.raises((InputError, ArgumentError)):
            DiffusionClassifier.load_from_checkpoint(file)
