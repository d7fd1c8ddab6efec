"""Folders and files of models."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import diffclf_lightning
from corpus.case import FAST, OUT, TRIALS, Case, Prepare, of, steps, text
from corpus.pictures import add, cut, without

ASSETS = Path(diffclf_lightning.__file__).parent / "assets"
RUN = (
    "test", "--config", "digits", "--denoiser=./model", TRIALS, OUT, FAST, "--data.num_test=6",
)  # fmt: skip
TEXT = ("test", "--config", "digits_text", *RUN[3:])
INDEX, TRANSFORMER = "model/model_index.json", "model/transformer"
WEIGHTS = f"{TRANSFORMER}/diffusion_pytorch_model.safetensors"
TENSOR = "transformer_blocks.0.attn1.to_q.weight"


def model(name: str = "digits-dit") -> Prepare:
    """A copy of an embedded model."""
    return lambda folder: shutil.copytree(ASSETS / name, folder / "model")


def edited(file: str, edit: Callable[[dict[str, Any]], object]) -> Prepare:
    """Changes a file of JSON, or tensors."""

    def change(folder: Path) -> None:
        path = folder / file
        tensors = path.suffix == ".safetensors"
        content = load_file(path) if tensors else json.loads(path.read_text())
        edit(content)
        if tensors:
            save_file(content, path)
        else:
            path.write_text(json.dumps(content))

    return change


def refused(name: str, *change: Prepare, says: str) -> Case:
    """A copy of the model of classes that something is wrong with."""
    return Case(f"model: {name}", RUN, says=says, prepare=steps(model(), *change))


def odd(name: str, *change: Prepare, says: str = "") -> Case:
    """A copy that works, with a warning that ``says`` so."""
    return Case(
        f"model: {name}",
        RUN,
        "warned" if says else "works",
        says,
        prepare=steps(model(), *change),
        images=of(6, name="digits"),
    )


def of_text(name: str, *change: Prepare, says: str) -> Case:
    """The same of the model that takes text."""
    return Case(f"model: {name}", TEXT, says=says, prepare=steps(model("digits-text"), *change))


def index(**entries: Any) -> Prepare:
    """Other entries in model_index.json."""
    return edited(INDEX, lambda content: content.update(entries))


def nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors[TENSOR][0, 0] = float("nan")


def infinite(tensors: dict[str, torch.Tensor]) -> None:
    tensors[TENSOR][0, 0] = float("inf")


ENCODER, TOKENIZER = "model/text_encoder", "model/tokenizer"
CLASSIFY = ("classify", "a.png", "--denoiser", "./model")
CASES = [
    Case("model: no folder", RUN, says="./model"),
    Case(
        "model: an empty folder",
        RUN,
        says="model_index.json",
        prepare=lambda folder: (folder / "model").mkdir(),
    ),
    Case("model: a file of nothing", RUN, says="model", prepare=text("model", b"")),
    Case(
        "model: a single file of nothing",
        (*RUN, "--denoiser=./m.safetensors"),
        says="m.safetensors",
        prepare=text("m.safetensors", b""),
    ),
    Case(
        "model: a single file of text",
        (*RUN, "--denoiser=./m.safetensors"),
        says="m.safetensors",
        prepare=text("m.safetensors", "none at all"),
    ),
    Case(
        "model: a single file that is not there",
        (*RUN, "--denoiser=./m.safetensors"),
        says="m.safetensors",
    ),
    refused("no model_index.json", without(INDEX), says="model_index.json"),
    refused("an empty model_index.json", text(INDEX, b""), says="model_index.json"),
    refused("half a model_index.json", cut(INDEX, 0.5), says="model_index.json"),
    refused("a model_index.json that is a list", text(INDEX, "[]"), says="model_index.json"),
    refused("a model_index.json that is null", text(INDEX, "null"), says="model_index.json"),
    odd("an unknown pipeline of a known network", index(_class_name="NoPipeline")),
    odd("a pipeline without a name, of a known network", index(_class_name=None)),
    refused(
        "an unknown pipeline of an unknown network",
        index(_class_name="NoPipeline", transformer=["diffusers", "AutoencoderKL"]),
        says="NoPipeline",
    ),
    refused("a pipeline of videos", index(_class_name="WanVideoPipeline"), says="video"),
    refused(
        "a component of an unknown class",
        index(transformer=["diffusers", "NoModel"]),
        says="NoModel",
    ),
    refused(
        "a component of an unknown library",
        index(transformer=["nothing", "NoModel"]),
        says="nothing",
    ),
    refused("no folder of the transformer", without(TRANSFORMER), says="transformer"),
    refused("no weights", without(WEIGHTS), says="transformer"),
    refused(
        "no configuration of the transformer",
        without(f"{TRANSFORMER}/config.json"),
        says="transformer",
    ),
    refused(
        "half a configuration of the transformer",
        cut(f"{TRANSFORMER}/config.json", 0.5),
        says="config.json",
    ),
    refused("no scheduler", without("model/scheduler"), says="scheduler"),
    refused(
        "an unknown scheduler", index(scheduler=["diffusers", "NoScheduler"]), says="NoScheduler"
    ),
    refused("half a file of weights", cut(WEIGHTS, 0.5), says="transformer"),
    refused("a file of weights of no bytes", text(WEIGHTS, b""), says="transformer"),
    refused("weights that are a page of HTML", text(WEIGHTS, "<html>"), says="transformer"),
    refused(
        "a pointer in place of weights",
        text(WEIGHTS, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        says="transformer",
    ),
    refused("a tensor less", edited(WEIGHTS, lambda tensors: tensors.pop(TENSOR)), says=TENSOR),
    odd(
        "a tensor more",
        edited(WEIGHTS, lambda t: t.update(more=torch.zeros(2))),
        says="'more' first",
    ),
    refused(
        "a tensor of another shape",
        edited(WEIGHTS, lambda t: t.update({TENSOR: torch.zeros(2, 2)})),
        says="transformer",
    ),
    refused(
        "more layers than there are weights of",
        edited(f"{TRANSFORMER}/config.json", lambda c: c.update(num_layers=9)),
        says="9",
    ),
    odd(
        "fewer layers than there are weights of",
        edited(f"{TRANSFORMER}/config.json", lambda c: c.update(num_layers=1)),
        says="have no place in the network",
    ),
    refused(
        "another number of classes",
        edited(f"{TRANSFORMER}/config.json", lambda c: c.update(num_embeds_ada_norm=7)),
        says="transformer",
    ),
    refused("weights of NaN", edited(WEIGHTS, nan), says="Check the weights"),
    refused("weights of infinity", edited(WEIGHTS, infinite), says="Check the weights"),
    of_text("no tokenizer", without(TOKENIZER), says="tokenizer"),
    of_text("an empty tokenizer", without(f"{TOKENIZER}/tokenizer.json"), says="tokenizer"),
    of_text("half a tokenizer", cut(f"{TOKENIZER}/tokenizer.json", 0.5), says="tokenizer"),
    of_text("no text encoder", without(ENCODER), says="text_encoder"),
    of_text(
        "no weights of the text encoder",
        without(f"{ENCODER}/model.safetensors"),
        says="text_encoder",
    ),
    of_text(
        "half the weights of the text encoder",
        cut(f"{ENCODER}/model.safetensors", 0.5),
        says="text_encoder",
    ),
    of_text(
        "another width of the text encoder",
        edited(f"{ENCODER}/config.json", lambda c: c.update(hidden_size=8)),
        says="text_encoder",
    ),
    Case(
        "model: a LoRA that is not there",
        (*TEXT[:3], *TRIALS.split(), OUT, FAST, "--model.denoiser.lora=./lora"),
        says="./lora",
    ),
    Case(
        "model: a LoRA of another model",
        (*TEXT[:3], *TRIALS.split(), OUT, FAST, "--model.denoiser.lora=./lora.safetensors"),
        says="lora",
        prepare=lambda folder: save_file(
            {"unet.nothing.lora_A.weight": torch.zeros(2, 2)}, folder / "lora.safetensors"
        ),
    ),
    Case(
        "model: a calibration that is no JSON",
        RUN,
        says="calibration.json",
        prepare=steps(model(), text("model/calibration.json", "{")),
    ),
    Case(
        "model: classify by half a model",
        (*CLASSIFY, "--trials=2"),
        says="transformer",
        prepare=steps(model(), cut(WEIGHTS, 0.5), add("a.png")),
    ),
    Case(
        "model: generate by NaN weights",
        ("generate", "--out=o", "--denoiser=./model", "--images=1", "--steps=2"),
        says="Check its weights",
        prepare=steps(model(), edited(WEIGHTS, nan)),
    ),
    Case("model: a copy elsewhere", RUN, "works", prepare=model(), images=of(6, name="digits")),
    Case(
        "model: a copy in a folder with spaces",
        (*RUN, "--denoiser=./my model"),
        "works",
        prepare=lambda folder: shutil.copytree(ASSETS / "digits-dit", folder / "my model"),
        images=of(6, name="digits"),
    ),
    Case(
        "convert: an empty file",
        ("convert", "dit", "w.pt", "--out=o"),
        says="w.pt",
        prepare=text("w.pt", b""),
    ),
    Case(
        "convert: a page of HTML",
        ("convert", "edm2", "w.pt", "--out=o"),
        says="w.pt",
        prepare=text("w.pt", "<html>"),
    ),
    Case(
        "convert: tensors of something else",
        ("convert", "sit", "w.pt", "--out=o"),
        says="w.pt",
        prepare=lambda folder: torch.save({"a": torch.zeros(2)}, folder / "w.pt"),
    ),
    Case(
        "convert: a list of tensors",
        ("convert", "dit", "w.pt", "--out=o"),
        says="w.pt",
        prepare=lambda folder: torch.save([torch.zeros(2)], folder / "w.pt"),
    ),
    Case(
        "checkpoint: an empty file",
        (*RUN[:3], TRIALS, OUT, FAST, "--ckpt_path=c.ckpt"),
        says="c.ckpt",
        prepare=text("c.ckpt", b""),
    ),
    Case(
        "checkpoint: of something else",
        (*RUN[:3], TRIALS, OUT, FAST, "--ckpt_path=c.ckpt"),
        says="c.ckpt",
        prepare=lambda folder: torch.save({"a": 1}, folder / "c.ckpt"),
    ),
]
