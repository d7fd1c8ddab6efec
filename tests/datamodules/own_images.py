"""Writes a user's own images: grey squares whose level is that of their class."""

from pathlib import Path

import torch
from lightning.pytorch import Trainer
from PIL import Image

from diffclf_lightning import DiffusionClassifier, Full
from diffclf_lightning.denoisers import GaussianDenoiser

LEVELS = {"ant": 0, "bee": 128, "cat": 255}


def write(folder: Path, count: int = 4, classes=tuple(LEVELS), first: int = 0) -> Path:
    """Images 0.png, 1.png, ... of some classes, in a folder of each."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(first, first + count):
            Image.new("L", (8, 8), LEVELS.get(name, 0)).save(folder / name / f"{number}.png")
    return folder


def classifier() -> DiffusionClassifier:
    """Knows the classes by their levels, in sorted order."""
    levels = [level / 127.5 - 1 for level in LEVELS.values()]
    means = torch.tensor(levels).reshape(-1, 1, 1, 1).expand(-1, 1, 8, 8).clone()
    return DiffusionClassifier(GaussianDenoiser(means, std=0.1), Full(2))


def trainer(**kwargs) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **kwargs,
    )
