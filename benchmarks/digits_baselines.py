"""Trains small ResNets and ViTs of timm on the digits and writes their results on every test set.

They differ in size, number of training images and number of steps, so that their accuracies on the
held-out digits spread; the training split and the augmentation are those of the embedded diffusion
model. The table that the package ships (``diffclf robustness --baselines digits``) is made by

    python benchmarks/digits_baselines.py --output diffclf_lightning/robustness/data/digits.csv
"""

import argparse
import csv
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything

from diffclf_lightning.baselines import TimmClassifier
from diffclf_lightning.datamodules import Digits

HEADER = """\
# Small timm ResNets and ViTs trained on the first 1,297 of scikit-learn's digits, by
# benchmarks/digits_baselines.py. Numbers of correct images; the total stands in the column's name.
# One family: one network, number of images and number of steps, under several seeds.
"""
RESNET = {"channels": (8, 16, 32, 64), "layers": (1, 1, 1, 1), "stem_width": 8}
WIDE = {"channels": (16, 32, 64, 128), "layers": (2, 2, 2, 2), "stem_width": 16}
VIT = {"img_size": 8, "patch_size": 2, "embed_dim": 48, "depth": 3, "num_heads": 3}
BIG = {"img_size": 8, "patch_size": 2, "embed_dim": 96, "depth": 4, "num_heads": 4}
SIZES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "resnet10-8": ("resnet10t", 32, RESNET),
    "resnet18-16": ("resnet18d", 32, WIDE),
    "vit-48": ("vit_tiny_patch16_224", 8, VIT),
    "vit-96": ("vit_tiny_patch16_224", 8, BIG),
}
SHORT = ((40, 60), (80, 100), (200, 150), (600, 200), (1297, 400), (1297, 2000))
LONG = ((100, 400), (200, 600), (400, 800), (1297, 500), (1297, 1000), (1297, 2500))
SCHEDULES = {"resnet10-8": SHORT, "resnet18-16": SHORT, "vit-48": LONG, "vit-96": LONG}
"""Number of training images and of steps; transformers need more."""
BATCH = 64


@dataclass(frozen=True)
class Baseline:
    """One network to train."""

    size: str
    images: int
    steps: int
    seed: int

    @property
    def family(self) -> str:
        """What it shares with its other seeds."""
        return f"{self.size}-{self.images}-{self.steps}"


def baselines(seeds: int) -> Iterator[Baseline]:
    """All networks, seed by seed."""
    for seed, size in product(range(seeds), SIZES):
        for images, steps in SCHEDULES[size]:
            yield Baseline(size, images, steps, seed)


def measure(baseline: Baseline) -> dict[str, tuple[int, int]]:
    """Train a network, and count the correct and all images of every test set."""
    seed_everything(baseline.seed, verbose=False)
    model, side, arguments = SIZES[baseline.size]
    scheduler = torch.optim.lr_scheduler.OneCycleLR
    classifier = TimmClassifier(
        model,
        pretrained=False,
        num_classes=10,
        in_chans=1,
        input_size=side,
        mean=[0.5],
        std=[0.5],
        model_args=arguments,
        optimizer=partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.05),
        lr_scheduler=partial(scheduler, max_lr=3e-3, total_steps=baseline.steps, pct_start=0.2),
    )
    repeats = -(-baseline.steps * BATCH // baseline.images) + 1
    data = Digits(
        ["all"], batch_size=min(BATCH, baseline.images), repeats=repeats,
        num_train=baseline.images,
    )  # fmt: skip
    quiet: dict[str, Any] = {
        "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
        "enable_model_summary": False, "accelerator": "cpu",
    }  # fmt: skip
    Trainer(max_steps=baseline.steps, limit_val_batches=0, **quiet).fit(classifier, datamodule=data)
    Trainer(**quiet).test(classifier, datamodule=data, verbose=False)
    return {name: (r.correct, r.total) for name, r in classifier.reports.items()}


def main() -> None:
    """Train all, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", default="0/1", help="I/N: every N-th network from the I-th")
    arguments = parser.parse_args()
    first, step = map(int, arguments.share.split("/"))
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    with arguments.output.open("w", newline="") as file:
        file.write(HEADER)
        writer = csv.writer(file, lineterminator="\n")
        for number, baseline in enumerate(list(baselines(arguments.seeds))[first::step]):
            counts = measure(baseline)
            if number == 0:
                writer.writerow(["model", "family", *(f"{k}/{n}" for k, (_, n) in counts.items())])
            name = f"{baseline.family}-{baseline.seed}"
            writer.writerow([name, baseline.family, *(k for k, _ in counts.values())])
            file.flush()
            print(name, counts["digits"])


if __name__ == "__main__":
    main()
