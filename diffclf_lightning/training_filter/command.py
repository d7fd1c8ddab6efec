"""``diffclf training-filter``: the share of test sets that a training filter would keep."""

import csv
import io
from collections.abc import Sequence

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from diffclf_lightning import datamodules  # noqa: F401 (known by their names alone)
from diffclf_lightning.datamodules.base import ImageDataModule
from diffclf_lightning.errors import InputError
from diffclf_lightning.files import made, write_whole
from diffclf_lightning.mistakes import CommandParser
from diffclf_lightning.outputs import output_file
from diffclf_lightning.training_filter.embedding import OpenClipEmbedder
from diffclf_lightning.training_filter.heads import ACTIVATIONS, load_head
from diffclf_lightning.training_filter.shares import Filter, Share, shares

DESCRIPTION = """\
The share of the test sets of a data module that the filter of a model's training data would keep,
by default that of Stable Diffusion 2.0: the short side of the stored image, an aesthetic score and
the probability that it is unsafe, each alone and all together. The last two need heads on image
embeddings of open_clip; the short side alone needs no model.
"""
DEFAULT = Filter()
HEADS = ("aesthetic", "unsafe")


def parser() -> CommandParser:
    """The parser of the command's arguments."""
    parsed = CommandParser(prog="diffclf training-filter", description=DESCRIPTION)
    add = parsed.add_argument
    add("--data", type=ImageDataModule, required=True, help="a data module", enable_path=False)
    add("--min-side", type=int, default=DEFAULT.min_side, help="least short side in pixels")
    add("--min-aesthetic", type=float, default=DEFAULT.min_aesthetic, help="least aesthetic score")
    add("--max-unsafe", type=float, default=DEFAULT.max_unsafe, help="highest probability")
    head = "of the hub, or a file (.safetensors, .pth) with weights of linear layers"
    add("--aesthetic-head", type=str, default=None, help=f"OWNER/NAME/FILE {head}")
    add("--unsafe-head", type=str, default=None, help="likewise; its number goes through a sigmoid")
    for name in HEADS:
        told = "what stood where the layers of the head leave numbers out"
        add(f"--{name}-activation", choices=ACTIVATIONS, default=None, help=told)
    add("--model", type=str, default="ViT-L-14", help="name of the heads' model in open_clip")
    add("--pretrained", type=str, default="openai", help="its weights, by name or as a file")
    add("--device", type=str, default=None, help="default: a GPU if there is one")
    add("--output", type=str, default=None, help="CSV file for the shares")
    return parsed


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where the table is printed.

    Raises:
        InputError: If the data, a head or the model cannot be had, or a threshold is out of range.
    """
    own = parser()
    options = own.parse_args(list(args))
    output: str | None = options.output
    file = None if output is None else output_file(output, "shares.csv", (".csv",))
    heads = {
        name: load_head(given, name, options[f"{name}_activation"])
        for name in HEADS
        if (given := options[f"{name}_head"]) is not None
    }
    for name in HEADS:
        if name not in heads and options[f"{name}_activation"] is not None:
            raise InputError(f"Expected --{name}-head with --{name}-activation, but got none.")
    conditions = Filter(options.min_side, options.min_aesthetic, options.max_unsafe, **heads)
    embedder = None
    if conditions.needs_embedding:
        device = _device(options.device)
        embedder = OpenClipEmbedder(options.model, options.pretrained, device)
    found = shares(own.instantiate_classes(options).data, conditions, embedder)
    console = console or Console()
    console.print(_table(found))
    for what, key in (("aesthetic score", "aesthetic"), ("unsafe probability", "unsafe")):
        if key not in heads:
            console.print(f"  {what}: not looked at (--{key}-head)", highlight=False)
    if file is not None:
        made(file.parent)
        write_whole(file, _csv(found))
        console.print(f"Results: {file}", soft_wrap=True, highlight=False, markup=False)


def _device(given: str | None) -> torch.device:
    try:
        device = torch.device(given or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"Expected --device to be there, as cpu, cuda or cuda:1 may be, but got {given!r} "
            f"({(str(error).splitlines() or [''])[0]})."
        ) from error
    return device


def _table(found: Sequence[Share]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("set", overflow="fold")
    table.add_column("condition")
    for heading in ("passed", "% (99.5% interval)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for share in found:
        row = share.record()
        ends = f"({100 * row['lower']:.1f}-{100 * row['upper']:.1f})"
        counted = f"{share.passed}/{share.images}"
        table.add_row(share.set, share.condition, counted, f"{100 * row['share']:.1f} {ends}")
    return table


def _csv(found: Sequence[Share]) -> str:
    rows = [share.record() for share in found]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
