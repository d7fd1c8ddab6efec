"""Seconds against processes and images, and how long processes wait for the slowest.

The embedded model on the embedded digits, on a CPU, one thread a process. The processes of a row
are started once and then measure all numbers of images in turn, repeat after repeat, so that
neither imports nor the first pass count; a time is that of ``Trainer.test``, from its start to
the written summary.

    python benchmarks/scale.py
    python benchmarks/scale.py --processes 1 2 4 --images 500 --strategy Racing
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lightning.pytorch import Trainer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from diffclf_lightning import AutoDenoiser, DiffusionClassifier, Racing, Staged, Strategy
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.datamodules import Digits
from diffclf_lightning.ranks import waiting_share, whole

STRATEGIES: dict[str, Strategy] = {"Staged": Staged((1, 4), (2, 1)), "Racing": Racing()}
PASS, BATCH = 256, 16


def measured(folder: Path, strategy: str, processes: int, images: int) -> tuple[float, float]:
    """Seconds of a test, and the share of them that processes waited, as one process sees it."""
    classifier = DiffusionClassifier(
        AutoDenoiser.from_pretrained("diffclf/digits-dit"),
        STRATEGIES[strategy],
        evaluations_per_batch=PASS,
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[ResultsWriter(folder, thumbnails=0)],
    )
    digits = Digits(num_test=images, batch_size=BATCH)
    start = time.perf_counter()
    trainer.test(classifier, digits, verbose=False)
    seconds = time.perf_counter() - start
    sets = json.loads((folder / "summary.json").read_text())["sets"]
    return seconds, waiting_share(whole({name: one["busy_seconds"] for name, one in sets.items()}))


def series(folder: Path, options: argparse.Namespace) -> None:
    """Measure all numbers of images in one of the processes; the first writes what came."""
    processes = int(os.environ["WORLD_SIZE"])
    measured(folder / f"warm-up-{processes}", options.strategy, processes, BATCH)
    found: dict[int, list[tuple[float, float]]] = {images: [] for images in options.images}
    for repeat in range(options.repeats):
        for images in options.images:
            run = folder / f"{processes}-{images}-{repeat}"
            found[images].append(measured(run, options.strategy, processes, images))
    if os.environ["RANK"] == "0":
        (folder / f"{processes}.json").write_text(json.dumps(found))


def main() -> None:
    """Start the processes of each row, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--images", nargs="+", type=int, default=[125, 250, 500])
    parser.add_argument("--strategy", choices=STRATEGIES, default="Staged")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--series", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.series:
        series(options.series, options)
        return
    table = Table(title=f"{options.strategy}, medians of {options.repeats}", box=SIMPLE_HEAD)
    for heading in ("processes", "images", "seconds", "(range)", "of one process", "waited"):
        table.add_column(heading, justify="right")
    alone: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for processes in options.processes:
            torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
            command = [sys.executable, "-m", *torchrun, *sys.argv, "--series", folder]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
            found = json.loads((Path(folder) / f"{processes}.json").read_text())
            for images, runs in found.items():
                seconds, shares = zip(*runs, strict=True)
                middle = statistics.median(seconds)
                ratio = f"{middle / alone[images]:.2f}" if alone.get(images) else ""
                alone.update({images: middle} if processes == 1 else {})
                span = f"{min(seconds):.1f}-{max(seconds):.1f}"
                waited = f"{statistics.median(shares):.1%}" if processes > 1 else ""
                table.add_row(str(processes), images, f"{middle:.1f}", span, ratio, waited)
    Console().print(table)


if __name__ == "__main__":
    main()
