"""``diffclf classify``: what images show, in one line."""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from diffclf_lightning.errors import InputError
from diffclf_lightning.extras import needed
from diffclf_lightning.files import draw_whole, made
from diffclf_lightning.outputs import output_file
from diffclf_lightning.paths import file_named, path_of

if TYPE_CHECKING:
    from diffclf_lightning.classifier import DiffusionClassifier
    from diffclf_lightning.evaluation import Strategy
    from diffclf_lightning.guesses import Guess

TEXT_TO_IMAGE = "stabilityai/stable-diffusion-2-base"
TEMPLATE = "a photo of a {}."
MOST_DRAWN = 12
"""Images of a figure."""
PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg")
"""What figures may be."""
DESCRIPTION = f"""\
Say what images show. Choose among --names (put into --template), among whole captions (--prompts,
"which of these fits?"), or among the classes of a class-conditional model. Without --denoiser it
is {TEXT_TO_IMAGE}; diffclf/digits-dit, diffclf/digits-text and
diffclf/glyphs are in the package.
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command's arguments."""
    made = argparse.ArgumentParser(prog="diffclf classify", description=DESCRIPTION)
    add = made.add_argument
    add("images", nargs="+", metavar="IMAGE", help="image files, or folders of them")
    add(
        "--names",
        nargs="+",
        metavar="NAME",
        help='class names: "cat, dog" or cat dog; default: all that a model of classes knows',
    )
    add(
        "--prompts",
        nargs="+",
        metavar="PROMPT",
        help="whole captions, or a file: one caption a line, or a CSV with a column prompt",
    )
    add("--denoiser", metavar="ID", help="hub id, folder of a pipeline, or diffclf/NAME")
    add("--template", help=f"sentence with {{}} for a name; default: {TEMPLATE!r}")
    add("--trials", type=int, default=100, help="trials of a candidate, at most; default: 100")
    add("--top", type=int, default=3, help="classes that are shown of each image; default: 3")
    add("--calibration", metavar="RUN", help="run that diffclf calibrate was given")
    add("--device", help="cpu, cuda, mps; default: the best there is")
    add("--dtype", default="auto", help="float32, float16, bfloat16; default: bfloat16 on cuda")
    add("--seed", type=int, default=0, help="seed of the noise; default: 0")
    add("--json", action="store_true", help="print JSON, all classes of each image")
    add("--save-figure", metavar="FILE", help="draw the images with the error of every class")
    return made


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where the table is printed.

    Raises:
        InputError: If an argument is wrong, or an image cannot be read.
    """
    options = parser().parse_args(list(args))
    files = _files(options.images)
    _check(options)
    names = _names(options)
    classifier = _classifier(options)
    guesses = _classified(classifier, files, names)
    if options.json:
        plain = [_plain(file, guess) for file, guess in zip(files, guesses, strict=True)]
        sys.stdout.write(json.dumps(plain, indent=2) + "\n")
    else:
        _show(console or Console(), _table(files, guesses, options.top), classifier.calibrated)
    if options.save_figure:  # which may fail
        _draw(path_of(options.save_figure), classifier, files, guesses)


def _show(console: Console, table: Table, calibrated: bool) -> None:
    console.print(table)
    if not calibrated:
        said = "Not calibrated: probabilities take temperature 1, only their order means something."
        console.print(f"{said} See diffclf calibrate.", highlight=False)


def _check(options: argparse.Namespace) -> None:
    given = [flag for flag in ("names", "prompts") if getattr(options, flag)]
    if len(given) > 1:
        raise InputError("Expected either --names or --prompts, but got both. Drop one.")
    if not given and options.denoiser is None:
        raise InputError(
            "Expected --names or --prompts to choose among, but got neither. Give for instance "
            '--names "cat, dog".'
        )
    if options.template is not None and not options.names:
        raise InputError("Expected --template with --names, but got no --names.")
    for flag, value in (("--trials", options.trials), ("--top", options.top)):
        if value < 1:
            raise InputError(f"Expected {flag} to be at least 1, but got {value}.")
    if options.save_figure:
        needed("matplotlib", "figures")
        output_file(options.save_figure, "figure.png", PICTURES, "--save-figure")


def _files(given: Sequence[str]) -> list[Path]:
    from diffclf_lightning.datamodules import ImageFiles

    try:
        return [image.file for image in ImageFiles(given).read()]
    except InputError as error:
        raise InputError(str(error).replace("argument `paths`", "IMAGE")) from error


def _classifier(options: argparse.Namespace) -> "DiffusionClassifier":
    from diffclf_lightning.classifier import DiffusionClassifier
    from diffclf_lightning.denoisers import AutoDenoiser
    from diffclf_lightning.devices import best_device, dtype_for, moved

    device = options.device or best_device()
    dtype = dtype_for(device, options.dtype)
    denoiser = AutoDenoiser.from_pretrained(options.denoiser or TEXT_TO_IMAGE, torch_dtype=dtype)
    takes_text = denoiser.num_classes is None
    if takes_text and not (options.names or options.prompts):
        raise InputError(
            f"Expected --names or --prompts, since {options.denoiser} has no classes of its own."
        )
    if not takes_text and (options.prompts or options.template):
        flag = "--prompts" if options.prompts else "--template"
        raise InputError(
            f"Expected no {flag}, since {options.denoiser} takes classes and not words. Choose "
            "among its classes with --names."
        )
    template = (options.template or TEMPLATE) if takes_text and options.names else None
    classifier = DiffusionClassifier(
        denoiser,
        _strategy(options.trials),
        template=template,
        seed=options.seed,
        calibration=options.calibration,
    )
    return moved(classifier, device)


def _strategy(trials: int) -> "Strategy":
    """A race, where there are trials for more than one round."""
    from diffclf_lightning.evaluation import Full, Racing

    return Racing(max_trials=trials) if trials > Racing().min_trials else Full(trials)


def _names(options: argparse.Namespace) -> list[str] | None:
    """Names or captions to choose among, or None for all classes of the model."""
    if options.names:
        parts = options.names if len(options.names) > 1 else options.names[0].split(",")
        return _distinct("--names", [part.strip() for part in parts])
    if not options.prompts:
        return None
    file = file_named(options.prompts[0]) if len(options.prompts) == 1 else None
    if file is None:
        return _distinct("--prompts", options.prompts)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"Expected --prompts to be captions, or a file of them, but {str(file)!r} is no text "
            f"in UTF-8 that can be read ({type(error).__name__})."
        ) from error
    if file.suffix == ".csv":
        rows = list(csv.DictReader(text.splitlines()))
        if not rows or "prompt" not in rows[0]:
            raise InputError(f"Expected a column prompt in {file}, but there is none.")
        return _distinct("--prompts", [(row["prompt"] or "").strip() for row in rows])
    return _distinct("--prompts", [line.strip() for line in text.splitlines() if line.strip()])


def _distinct(flag: str, texts: list[str]) -> list[str]:
    if len(set(texts)) < max(2, len(texts)) or "" in texts:
        raise InputError(
            f"Expected {flag} to be at least two, all different and none empty, but got {texts}."
        )
    return texts


def _classified(
    classifier: "DiffusionClassifier", files: Sequence[Path], names: list[str] | None
) -> list["Guess"]:
    with tqdm(unit="", unit_scale=True, desc="evaluations", leave=False, disable=None) as bar:
        classifier.on_evaluations = bar.update
        guesses: list[Guess] = classifier.classify(files, names)
    return guesses


def _table(files: Sequence[Path], guesses: Sequence["Guess"], top: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("image", overflow="fold")
    table.add_column("class", overflow="fold")
    for heading in ("probability", "error", "evaluations"):
        table.add_column(heading, justify="right")
    for file, guess in zip(files, guesses, strict=True):
        for place, (name, probability) in enumerate(list(guess.probabilities.items())[:top]):
            first = place == 0
            table.add_row(
                str(file) if first else "",
                name,
                f"{probability:.1%}",
                f"{guess.scores[name]:.4f}",
                f"{guess.evaluations:,}" if first else "",
                end_section=place == min(top, len(guess.scores)) - 1,
            )
    return table


def _plain(file: Path, guess: "Guess") -> dict[str, Any]:
    return {
        "image": str(file),
        "class": guess.name,
        "probability": guess.probability,
        "calibrated": guess.calibrated,
        "evaluations": guess.evaluations,
        "classes": [
            {"class": name, "probability": probability, "error": guess.scores[name]}
            for name, probability in guess.probabilities.items()
        ],
    }


def _draw(
    file: Path, classifier: "DiffusionClassifier", files: Sequence[Path], guesses: list["Guess"]
) -> None:
    import torch

    from diffclf_lightning.callbacks.figures import draw_errors
    from diffclf_lightning.guesses import pixels_of

    names = sorted(guesses[0].scores)
    columns = {
        "scores": torch.tensor([[g.scores[n] for n in names] for g in guesses]),
        "standard_errors": torch.tensor([[g.standard_errors[n] for n in names] for g in guesses]),
        "prediction": torch.tensor([names.index(g.name) for g in guesses]),
        "label": None,
    }
    shape = classifier.image_shape
    pixels = [pixels_of(image, classifier.transform, shape) for image in files]
    drawn = [(image, columns, place) for place, image in enumerate(pixels)][:MOST_DRAWN]
    draw_whole(draw_errors(drawn, names), made(file.parent) / file.name)
