r"""A model before and after LoRA on a few images of a shift, by each loss, on images of that shift.

    python benchmarks/fine_tuning.py --shift occlusion_3 --shots 1 4 16 --seeds 3 --images 500

The embedded text-to-image model; the images to train on are of other writers than those that it is
tested on. A seed chooses the images, the noise and the layers' first values. Rows in Markdown:
accuracy, its mean over the seeds with the lowest and the highest; the gain over the model before,
in points, with the 95% interval that images alone give (of each image's mean over the seeds);
seconds of training on the CPU.
"""

import argparse
import logging
import time
import warnings
from collections.abc import Mapping

import numpy as np
import torch
from lightning.pytorch import Trainer, seed_everything
from numpy.typing import NDArray

from diffclf_lightning import AutoDenoiser, DenoiserTraining, DiffusionClassifier, Staged
from diffclf_lightning.datamodules import Digits
from diffclf_lightning.denoisers import LoRA
from diffclf_lightning.metrics import clopper_pearson
from diffclf_lightning.optimization import WarmupCosine
from diffclf_lightning.training import CandidateCrossEntropy

MODEL = "diffclf/digits-text"
TEMPLATE = "a photo of the number {}"
STRATEGY = Staged(trials=(2, 6, 18), keep=(4, 2, 1))
LOSSES: Mapping[str, CandidateCrossEntropy | None] = {
    "denoising loss": None,
    "and cross-entropy": CandidateCrossEntropy(candidates=4),
}
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def tuned(
    options: argparse.Namespace, loss: CandidateCrossEntropy | None, shots: int, seed: int
) -> tuple[DenoiserTraining, float]:
    """A model that was tuned, and the CPU seconds that it took."""
    seed_everything(seed, verbose=False)
    module = DenoiserTraining(
        AutoDenoiser.from_pretrained(MODEL),
        strategy=STRATEGY,
        template=TEMPLATE,
        label_dropout=0.0,
        optimizer=lambda weights: torch.optim.AdamW(weights, lr=options.lr),
        lr_scheduler=WarmupCosine,
        lora=LoRA(rank=options.rank),
        classification=loss,
    )
    data = Digits(shift=options.shift, shots=shots, seed=seed, augment=0.0, batch_size=16)
    fit = {"max_steps": options.steps, "max_epochs": -1, "limit_val_batches": 0}
    begun = time.process_time()
    Trainer(gradient_clip_val=1.0, **fit, **QUIET).fit(module, datamodule=data)
    return module, time.process_time() - begun


def right(options: argparse.Namespace, module: DiffusionClassifier) -> NDArray[np.bool_]:
    """Whether each image of the shift is answered right."""
    data = Digits([options.shift], num_test=options.images, batch_size=100)
    batches = Trainer(**QUIET).predict(module, datamodule=data)
    answers = torch.cat([batch.columns["prediction"] for batch in batches]).numpy()
    return answers == np.array(data.test_sets()[options.shift].labels)


def main() -> None:
    """Tune, test, and print rows as they come."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shift", default="occlusion_3", help="default: %(default)s")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 4, 16], help="of each class")
    parser.add_argument("--seeds", type=int, default=3, help="number, default: %(default)s")
    parser.add_argument("--images", type=int, default=500, help="tested, default: %(default)s")
    parser.add_argument("--steps", type=int, default=100, help="of 16 images, %(default)s")
    parser.add_argument("--rank", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=1e-2, help="default: %(default)s")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    plain = AutoDenoiser.from_pretrained(MODEL)
    before = right(options, DiffusionClassifier(plain, strategy=STRATEGY, template=TEMPLATE))
    within = clopper_pearson(int(before.sum()), len(before), alpha=0.05)
    print("| images a class | loss | accuracy, % | gain, points | seconds |\n" + "|---" * 5 + "|")
    interval = f"{100 * within.lower:.1f}-{100 * within.upper:.1f}"
    print(f"| 0 | before | {100 * before.mean():.1f} (interval {interval}) | | |", flush=True)
    for shots in options.shots:
        for name, loss in LOSSES.items():
            answers, seconds = [], []
            for seed in range(options.seeds):
                module, took = tuned(options, loss, shots, seed)
                answers.append(right(options, module))
                seconds.append(took)
            shares = 100 * np.stack(answers).mean(axis=1)
            gains = 100 * (np.stack(answers).mean(axis=0) - before)
            margin = 1.96 * gains.std(ddof=1) / len(gains) ** 0.5
            print(
                f"| {shots} | {name} | {shares.mean():.1f} ({shares.min():.1f}-{shares.max():.1f}) "
                f"| {gains.mean():+.1f} ± {margin:.1f} | {np.mean(seconds):.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
