"""Tiny random contrastive models, in folders as open_clip reads them."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

TEXT = {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
VIT = {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 8, "layers": 1}
RESNET = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8, "patch_size": None}

MODELS: dict[str, dict[str, Any]] = {
    "vit": {"model_cfg": {"embed_dim": 8, "vision_cfg": VIT, "text_cfg": TEXT}},
    "resnet": {
        "model_cfg": {"embed_dim": 8, "vision_cfg": RESNET, "text_cfg": TEXT, "quick_gelu": True},
        "preprocess_cfg": {"interpolation": "bilinear", "mean": [0.2, 0.4, 0.6]},
    },
    "siglip": {
        "model_cfg": {
            "embed_dim": 8, "vision_cfg": VIT, "text_cfg": TEXT, "init_logit_bias": -10.0,
            "custom_text": True,
        },
        "preprocess_cfg": {"resize_mode": "squash", "mean": [0.5] * 3, "std": [0.5] * 3},
    },
    "wide": {
        "model_cfg": {
            "embed_dim": 8, "vision_cfg": {**VIT, "image_size": [16, 24]}, "text_cfg": TEXT,
        },
        "preprocess_cfg": {"resize_mode": "longest", "fill_color": 9},
    },
}  # fmt: skip


def write_clip(folder: Path, name: str = "vit") -> Path:
    """Write a model, and give its folder."""
    config = deepcopy(MODELS[name])
    (folder / "open_clip_config.json").parent.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    made = config["model_cfg"]
    kind = open_clip.CustomTextCLIP if made.pop("custom_text", False) else open_clip.CLIP
    network = kind(**made)
    with torch.no_grad():
        for parameter in network.parameters():  # those that start at zero say nothing
            parameter.add_(torch.randn_like(parameter) * 0.05)
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def loaded(folder: Path) -> tuple[Any, Any, Any]:
    """The model, its transform and its tokenizer, by open_clip alone."""
    source = f"local-dir:{folder}"
    model, transform = open_clip.create_model_from_pretrained(source)
    return model.eval(), transform, open_clip.get_tokenizer(source)
