r"""Racing alone and after each shortlist, on the same images.

    diffclf fit --config baselines/digits --results.folder runs/baseline
    python benchmarks/shortlists.py --config digits_shifts --keep 3 --data.num_test 25 \
        --classifier runs/baseline/checkpoints/last.ckpt --tree tree.yaml --denoiser runs/narrow

Shortlists are those whose argument is given, and the one by gradient. Other arguments go to
`diffclf test`. The first set is shown by itself, and all others together. Runs that are there
already, in the folder `--runs`, are taken as they are.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from diffclf_lightning.cli import main as diffclf
from diffclf_lightning.metrics import clopper_pearson
from diffclf_lightning.results import RunFolder

PLACES = 1, 2, 3, 5, 10, 20, 50
COLUMNS = "label", "prediction", "evaluations", "shortlist_rank", "shortlisted"
SHORTLIST = "--model.shortlist"


def shortlists(options: argparse.Namespace) -> dict[str, list[str]]:
    """Arguments of the runs by the name of the shortlist."""
    made = {"none": [], "GradientShortlist": [f"{SHORTLIST}.trials", str(options.trials)]}
    if options.classifier:
        made["DiscriminativeShortlist"] = [f"{SHORTLIST}.classifier", options.classifier]
    if options.tree:
        given = {"tree": options.tree, "width": options.width, "trials": options.trials}
        made["TreeShortlist"] = [
            word for name, value in given.items() for word in (f"{SHORTLIST}.{name}", str(value))
        ]
    if options.denoiser:
        made["DenoiserShortlist"] = [
            *(f"{SHORTLIST}.denoiser", "diffclf_lightning.AutoDenoiser.from_pretrained"),
            *(f"{SHORTLIST}.denoiser.pretrained_model_name_or_path", options.denoiser),
            *(f"{SHORTLIST}.trials", str(options.trials)),
        ]
    return {
        name: [SHORTLIST, name, *given, f"{SHORTLIST}.keep", str(options.keep)] if given else []
        for name, given in made.items()
    }


def rows(run: RunFolder, name: str, keep: int) -> Iterator[list[str]]:
    """Rows of the table: the first set, and all others."""
    stored = run.rows(COLUMNS)
    assert stored is not None
    sets = np.array(stored["set"].to_pylist())
    label, prediction, evaluations = (stored[c].to_numpy() for c in COLUMNS[:3])
    first = sets[0]
    for title, mine in ((first, sets == first), ("others", sets != first)):
        if not mine.any():
            continue
        right, images = int((label == prediction)[mine].sum()), int(mine.sum())
        within = clopper_pearson(right, images, alpha=0.05)
        said = [
            title,
            name,
            f"{100 * right / images:.1f} ({100 * within.lower:.1f}-{100 * within.upper:.1f})",
            f"{right} of {images}",
            f"{evaluations[mine].mean():.0f}",
        ]
        if name == "none":
            yield said
            continue
        ranks = stored["shortlist_rank"].to_numpy()[mine]
        kept = stored["shortlisted"].to_numpy(zero_copy_only=False)[mine]
        recall = [f"{k}: {100 * (ranks < k).mean():.1f}" for k in PLACES if k <= max(keep, 5)]
        yield [*said, f"{100 * kept.mean():.1f}", ", ".join(recall)]


def main(args: Sequence[str]) -> None:
    """Run what is not there, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="digits_shifts")
    parser.add_argument("--keep", type=int, default=3)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--classifier", help="checkpoint of a baseline")
    parser.add_argument("--tree", help="YAML file of a tree, or the name of one")
    parser.add_argument("--width", type=int, default=1, help="nodes of the tree that go on")
    parser.add_argument("--denoiser", help="folder of a cheaper model")
    parser.add_argument("--runs", type=Path, default=Path("runs/shortlists"))
    options, others = parser.parse_known_args(args)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("images", "shortlist", "accuracy, %", "right", "evals", "kept, %", "recall, %"):
        table.add_column(heading)
    for name, given in shortlists(options).items():
        folder = options.runs / name
        common = ["--config", options.config, "--model.strategy.max_trials", "250"]
        results = ["--results.folder", str(folder), "--trainer.enable_progress_bar", "false"]
        if not folder.is_dir():
            diffclf(["test", *common, *given, *results, *others])
        for row in rows(RunFolder(folder), name, options.keep):
            table.add_row(*row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
