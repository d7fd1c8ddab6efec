"""Do seconds fall as evaluations do? All trials, staged pruning and a race on the same images.

Late rounds of a race have few evaluations, and a forward pass that is half empty takes its time all
the same. So it is counted which share of evaluations ran in passes less than half full, and the
share of time that a strategy saves is set beside the share of evaluations that it saves:

    (1 - seconds / seconds of all trials) / (1 - evaluations / evaluations of all trials)

The strategies run in turn, and medians are over repeats. On a CPU, seconds are those of the
processor, so that other programs do not count.

    python benchmarks/tail.py [--images 100] [--batch-size 100] [--repeats 5]

On a busy machine what is found by trial is chance; ``--evaluations-per-batch 64`` fixes it for all.
"""

import argparse
import statistics
import time
from dataclasses import dataclass, field

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from torch import Tensor

from diffclf_lightning import AutoDenoiser, DiffusionClassifier, Full, Racing, Staged, Strategy
from diffclf_lightning.datamodules import Digits
from diffclf_lightning.evaluation import Filling

STRATEGIES: dict[str, Strategy] = {
    "Full(50)": Full(50),
    "Staged((4, 12, 50), (4, 2, 1))": Staged((4, 12, 50), (4, 2, 1)),
    "Racing(max_trials=50)": Racing(max_trials=50),
    "Racing()": Racing(),
}
HEADINGS = (
    "strategy",
    "evaluations\nan image",
    "seconds\nan image",
    "evaluations\na pass",
    "in passes less\nthan half full",
    "time saved over\nevaluations saved",
)


@dataclass
class Run:
    """A classifier, and what its runs took."""

    classifier: DiffusionClassifier
    seconds: list[float] = field(default_factory=list)
    filling: Filling = field(default_factory=Filling)

    def __call__(self, batches: list[Tensor]) -> None:
        """Answer some batches of images."""
        candidates, _ = self.classifier.choices(None)
        prepared, _ = self.classifier.prepare(candidates)
        self.classifier.warm_up(batches[0], prepared)
        self.filling = Filling()
        start = self.clock()
        for images in batches:
            filling = self.classifier.answer(images, prepared).filling or Filling()
            for name, value in vars(filling).items():
                setattr(self.filling, name, getattr(self.filling, name) + value)
        self.seconds.append(self.clock() - start)

    def clock(self) -> float:
        """Seconds, of the processor on a CPU."""
        if self.classifier.device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--evaluations-per-batch", type=int, default=None, help="found by default")
    parser.add_argument("--set", default="digits", help="a test set of the digits")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    denoiser = AutoDenoiser.from_pretrained("diffclf/digits-dit").to(device)
    data = Digits([options.set], num_test=options.images, batch_size=options.batch_size)
    data.set_default_transform(denoiser.transform)
    batches = [batch["image"].to(device) for batch in data.test_dataloader()[options.set]]
    size = options.evaluations_per_batch
    runs = {
        name: Run(DiffusionClassifier(denoiser, one, evaluations_per_batch=size))
        for name, one in STRATEGIES.items()
    }
    for _ in range(options.repeats):
        for run in runs.values():
            run(batches)
    full = next(iter(runs.values()))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "strategy" else "right")
    for name, run in runs.items():
        evaluations, seconds = run.filling.evaluations, statistics.median(run.seconds)
        saved = 1 - evaluations / full.filling.evaluations
        ratios = [1 - a / b for a, b in zip(run.seconds, full.seconds, strict=True)]
        table.add_row(
            name,
            f"{evaluations / options.images:.0f}",
            f"{seconds / options.images:.3g}",
            str(run.classifier.pass_size.size),
            f"{run.filling.underfilled / evaluations:.1%}",
            f"{statistics.median(ratios) / saved:.3f}" if saved else "",
        )
    Console(width=120).print(table)
    print(f"{device}, {torch.get_num_threads()} threads, {options.repeats} repeats")


if __name__ == "__main__":
    main()
