"""What rows cost: seconds and memory to finish a run of many images and labels, and to resume it.

A closed-form classifier answers random images, so that next to nothing but rows takes time. The
last part of a run, in which rows are gathered and the summary is computed, is timed on its own; the
peak of memory is that of the process, beyond what it held before.

    python benchmarks/rows.py
    python benchmarks/rows.py --images 5000 --labels 100
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import DiffusionClassifier, Full
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.denoisers import GaussianDenoiser

BATCH = 64


class TimedWriter(ResultsWriter):
    """Says when rows begin to be gathered, and what that takes."""

    seconds = memory = 0.0

    def on_test_epoch_end(self, *args: Any) -> None:
        """Gather rows, and look at the clock and at memory before and after."""
        before, start = peak(), time.perf_counter()
        super().on_test_epoch_end(*args)
        self.seconds, self.memory = time.perf_counter() - start, peak() - before


def peak() -> float:
    """The most memory that the process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def run(folder: Path, images: TensorDataset, means: torch.Tensor) -> tuple[float, float, float]:
    """Seconds of a whole run and of its end, and the memory that the end took."""
    writer = TimedWriter(folder, thumbnails=0)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[writer],
    )
    classifier = DiffusionClassifier(GaussianDenoiser(means, std=0.2), Full(1))
    start = time.perf_counter()
    trainer.test(classifier, DataLoader(images, batch_size=BATCH), verbose=False)
    return time.perf_counter() - start, writer.seconds, writer.memory


def main() -> None:
    """Run, resume and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(0)
    means = torch.rand(options.labels, 1, 4, 4) * 2 - 1
    labels = torch.arange(options.images) % options.labels
    images = TensorDataset((means[labels] + 1) / 2, labels)
    found: dict[str, list[tuple[float, float, float]]] = {"new": [], "resumed": []}
    size = 0.0
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as name:
            for runs in found.values():
                runs.append(run(Path(name), images, means))
            size = (Path(name) / "images.parquet").stat().st_size / 1e6
    print(f"{options.images} rows of {options.labels} labels, {size:.0f} MB")
    for kind, runs in found.items():
        whole, end, memory = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"{kind}: end {end:.1f} s and {memory:.2f} GB more, whole run {whole:.1f} s")


if __name__ == "__main__":
    main()
