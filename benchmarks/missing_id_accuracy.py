"""What the accuracies that the paper does not give do to its effective robustness.

Table 4 of Li et al. (2023) gives accuracies on all of ImageNet's classes, not on the images of
ImageNet-A's 200 or ObjectNet's 113, which the lines need. Here they are predicted from the former,
by the line of the baselines with its 95% prediction interval, and the effective robustness is given
at both ends of that interval.

    python benchmarks/missing_id_accuracy.py
"""

from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from diffclf_lightning.metrics import Accuracy
from diffclf_lightning.robustness import Model, Pair, compare, read_table
from diffclf_lightning.robustness.pairs import RESNET50_A

PAIRS = {"testbed": ("imagenet_a", "objectnet"), "timm": ("imagenet_a",)}
ID_SETS = {"imagenet_a": ("imagenet_a_id", RESNET50_A, 10_000),
           "objectnet": ("imagenet_objectnet_id", None, 6_250)}  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """A missing accuracy with its 95% prediction interval, and what each end makes of it."""

    low: float
    middle: float
    high: float
    robustness: tuple[str, ...]


def guess(source: str, ood: str, model: str) -> Guess:
    """The accuracy that a model lacks, and what its effective robustness would be at it."""
    baselines = read_table(source)
    id_set, at, images = ID_SETS[ood]
    paper = next(m for m in read_table("paper").models if m.name == model)
    to_id = compare(Pair("imagenet", id_set), baselines, []).fit
    full = paper.accuracies["imagenet"].value
    line = None if to_id is None else to_id.piece(full)
    interval = None if line is None else line.prediction_interval(full)
    if line is None or interval is None:
        raise RuntimeError(f"{source} has no line from imagenet to {id_set}")
    ids = interval.lower, line.predict(full), interval.upper
    models = [
        Model(model, "", {id_set: Accuracy(id, images), ood: paper.accuracies[ood]}) for id in ids
    ]
    rows = compare(Pair(id_set, ood, at), baselines, models).rows
    return Guess(*ids, tuple(str(row.robustness or "no line") for row in rows))


def main() -> None:
    """Print a row for each model of the paper."""
    for source, sets in PAIRS.items():
        for ood in sets:
            table = Table(title=f"{ood} against {source}", title_justify="left", box=SIMPLE_HEAD)
            for column in ("", "predicted ID %", "at its lower end", "in the middle", "upper end"):
                table.add_column(column, no_wrap=True)
            for model in read_table("paper").models:
                g = guess(source, ood, model.name)
                ids = f"{100 * g.middle:.1f} ({100 * g.low:.1f}-{100 * g.high:.1f})"
                table.add_row(model.name, ids, *g.robustness)
            Console(width=120).print(table)


if __name__ == "__main__":
    main()
