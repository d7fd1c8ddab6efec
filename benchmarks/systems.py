"""Every system of the paper's Tables 1 and 3, on what the package carries: one table of each.

    python benchmarks/systems.py digits
    python benchmarks/systems.py scenes

Trains what has to be trained, tests each system on the same images, and prints rows in Markdown.
All is in one folder (``--folder``): what is finished there is not done again.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffclf_lightning.metrics import KINDS, clopper_pearson
from diffclf_lightning.results import RunFolder

VIT = (
    "--model.model vit_tiny_patch16_224 --model.input_size 8 --model.model_args "
    """'{"img_size":8,"patch_size":2,"embed_dim":48,"depth":3,"num_heads":3}' """
    "--trainer.max_steps 1000 --model.optimizer.lr 1e-3 "
    "--model.lr_scheduler.total_steps 1000 --model.lr_scheduler.max_lr 1e-3"
)
EVERY = "--data.test_sets [all] --data.num_test {images}"


@dataclass(frozen=True)
class System:
    """A row of a table.

    Args:
        test: What tests it, after ``diffclf``.
        makes: What makes it, by the folder that it makes.
    """

    test: str
    makes: Mapping[str, str]


def trained(name: str, fit: str, beside: str = "") -> System:
    """A network that ``fit`` trains, and that is tested with its own configuration."""
    test = f"test --config {name}/config.yaml --ckpt_path {name}/checkpoints/last.ckpt {beside}"
    return System(test, {name: f"fit {fit} --results.folder {name}"})


DRAWN = "generate --config digits_text --guidance 1 --images 130 --batch-size 130 --out synthetic"
ON_DRAWN = (
    "--config baselines/folder --data.root synthetic --trainer.max_steps 400 "
    "--trainer.val_check_interval 100"
)
ON_SYNTHETIC = trained("synthetic-net", ON_DRAWN, f"--data Digits {EVERY}")
SYSTEMS: Mapping[str, Mapping[str, System]] = {
    "digits": {
        "Diffusion classifier, classes": System(
            "test --config digits_shifts --data.num_test {images}", {}
        ),
        "Diffusion classifier, words": System(f"test --config digits_text {EVERY}", {}),
        "Synthetic data, ResNet": System(
            ON_SYNTHETIC.test, {"synthetic": DRAWN, **ON_SYNTHETIC.makes}
        ),
        "Features and head": trained("features", "--config baselines/digits_features", EVERY),
        "Small CLIP": System(f"test --config baselines/digits_clip {EVERY}", {}),
        "ResNet from scratch": trained("resnet", "--config baselines/digits", EVERY),
        "ViT from scratch": trained("vit", f"--config baselines/digits {VIT}", EVERY),
    },
    "scenes": {
        "Diffusion classifier": System("test --config scenes", {}),
        "Small CLIP": System("test --config baselines/scenes_clip", {}),
    },
}


def run(command: str, folder: Path) -> None:
    """Run a command of ``diffclf`` in a folder."""
    print(f"diffclf {command}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "diffclf_lightning", *shlex.split(command)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"diffclf {command}: {done.stderr.strip()[-2000:]}")


def measured(table: str, folder: Path, images: int) -> dict[str, Mapping[str, Any]]:
    """The summaries of all systems, each made and tested where it is not."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, system in SYSTEMS[table].items():
        results = f"{table}-{''.join(c if c.isalnum() else '-' for c in name.lower())}-{images}"
        if not (folder / results / "summary.json").is_file():
            for made, command in system.makes.items():
                finished = folder / f"{made}.done"
                if not finished.exists():
                    if command.startswith("fit"):  # which begins anew
                        shutil.rmtree(folder / made, ignore_errors=True)
                    run(command, folder)
                    finished.touch()
            run(f"{system.test.format(images=images)} --results.folder {results}", folder)
        found[name] = RunFolder(folder / results).summary()["sets"]
    return found


def share(count: Mapping[str, Any]) -> str:
    """A share in per cent, with its exact 99.5% interval."""
    interval = clopper_pearson(count["correct"], count["total"])
    value = 100 * count["correct"] / count["total"]
    return f"{value:.1f} ({100 * interval.lower:.1f}-{100 * interval.upper:.1f})"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table, the first of them its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def table_of_digits(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Accuracy by set, a line each, and by system."""
    sets = next(iter(found.values()))
    rows = [["set", *found]]
    for name in sets:
        cells = [share(every[name]) for every in found.values()]
        rows.append([f"`{name}`", *cells])
    costs = [f"{every['digits']['evaluations_per_image']:.0f}" for every in found.values()]
    return markdown([*rows, ["evaluations an image of `digits`", *costs]])


def table_of_scenes(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Text, image and group score by tag, a line each, and by system and score."""
    rows = [["system", "examples", *KINDS]]
    for system, sets in found.items():
        for score, by_tag in sets["scenes"]["scores"].items():
            for tag, kinds in by_tag.items():
                cells = [share(kinds[kind]) for kind in KINDS]
                rows.append([f"{system} ({score})", tag, *cells])
    return markdown([*rows, ["Chance", "all", "25.0", "25.0", "16.7"]])


def main() -> None:
    """Make and test the systems of a table, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=SYSTEMS, help="which table")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/systems"), help="default: %(default)s"
    )
    parser.add_argument(
        "--images", type=int, default=500, help="of each set of digits, default: %(default)s"
    )
    options = parser.parse_args()
    found = measured(options.table, options.folder, options.images)
    print(table_of_digits(found) if options.table == "digits" else table_of_scenes(found))
    (options.folder / f"{options.table}.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
