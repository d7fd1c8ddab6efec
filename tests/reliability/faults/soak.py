"""A long run, whose memory, open files and threads have to stay as they are."""

import ctypes
import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from forked import Forked
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader, Dataset

from diffclf_lightning import DiffusionClassifier, Full
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.denoisers import GaussianDenoiser

from .judging import OTHER, WRONG, Finding, Stored, Trial

IMAGES, BATCH, EVERY = 10_000, 50, 500
CLASSES, SIDE = 10, 32
WARM = 2_000
"""Images until caches are full."""
BYTES = 1_536
"""Of memory that an image may cost: its key and digest, and what reports need of its row.

Its pixels alone would be 4,096.
"""
SAMPLES = "samples.jsonl"


class Drawn(Dataset):
    """Images that are drawn as they are asked for: nothing of them stays."""

    def __init__(self, length: int, means: torch.Tensor) -> None:
        self.length, self.means = length, means

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        label = index % CLASSES
        noise = torch.randn(1, SIDE, SIDE, generator=torch.Generator().manual_seed(index))
        image = (self.means[label] + 0.3 * noise + 1) / 2
        return {"image": image.clamp(0, 1), "label": label, "key": f"images/{index:08d}.png"}


class Usage(Callback):
    """Writes down what the process uses."""

    def __init__(self, every: int) -> None:
        self.every, self.images = every, 0

    def on_test_batch_end(self, trainer, module, outputs, batch, *_):
        self.images += len(batch["label"])
        if self.images % self.every == 0:
            with Path(SAMPLES).open("a") as file:
                file.write(json.dumps({"images": self.images, **usage()}) + "\n")


def usage() -> dict[str, int]:
    """Bytes of memory of its own, open files and threads of this process.

    What was given back to an allocator is given back to the system first.
    """
    gc.collect()
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)
    pages = [int(pages) for pages in Path("/proc/self/statm").read_text().split()]
    return {
        "bytes": (pages[1] - pages[2]) * os.sysconf("SC_PAGE_SIZE"),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "parts": len(list(Path("r/parts").glob("*"))),
    }


def soak(folder: Path, images: int = IMAGES) -> Iterator[Trial]:
    """A long run.

    Args:
        folder: For its files.
        images: How many.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def run() -> None:
        torch.manual_seed(0)
        means = torch.rand(CLASSES, 1, SIDE, SIDE) * 1.6 - 0.8
        denoiser = GaussianDenoiser(means, std=0.3)
        trainer = Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, callbacks=[ResultsWriter("r"), Usage(EVERY)],
        )  # fmt: skip
        classifier = DiffusionClassifier(
            denoiser, strategy=Full(2), evaluations_per_batch=CLASSES * BATCH
        )
        trainer.test(classifier, DataLoader(Drawn(images, means), batch_size=BATCH), verbose=False)

    ended = Forked(run, folder).end(timeout=1200.0)
    samples = [json.loads(line) for line in (folder / SAMPLES).read_text().splitlines()]
    findings = []
    if ended.code != 0:
        findings.append(Finding(OTHER, f"exit status {ended.code}: {ended.stderr[-600:]}"))
    found = Stored(folder / "r")
    if len(found.rows) != images or found.summary["sets"]["test"]["total"] != images:
        findings.append(Finding(WRONG, f"{len(found.rows)} rows of {images} images"))
    per_image = slope(samples)
    if per_image > BYTES:
        findings.append(Finding(OTHER, f"{per_image:.0f} bytes of memory an image: {samples}"))
    used = {name: [sample[name] for sample in samples] for name in ("files", "threads")}
    findings += [
        Finding(OTHER, f"{name} change: {numbers}")
        for name, numbers in used.items()
        if len(set(numbers)) > 1
    ]
    recipe = f"{images} images, {per_image:.0f} bytes of memory an image"
    yield Trial("soak", recipe, tuple(findings))


def slope(samples: list[dict[str, int]]) -> float:
    """Bytes an image after the first ones, by least squares."""
    warm = [sample for sample in samples if sample["images"] >= WARM]
    return float(np.polyfit([s["images"] for s in warm], [s["bytes"] for s in warm], 1)[0])
