"""``diffclf generate``: images of classes as a tree of class folders."""

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from tqdm import tqdm

from diffclf_lightning.configurations import find_config
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of

if TYPE_CHECKING:
    from diffclf_lightning.candidates import Condition
    from diffclf_lightning.denoisers import PipelineDenoiser

TEMPLATE = "a photo of a {}."
LISTED = 20
"""Class names of a model that a message has."""
DESCRIPTION = """\
Generate images from class names, for a classifier to be trained on ("Synthetic SD data" of the
paper): by the diffusers pipeline of a model, or by DDIM or Euler's steps where there is none. Image
i of a class depends on --seed, the name of the class and i alone. What is there is kept: an
interrupted run goes on. Several devices take a part each: --part 1/8 --device cuda:0, --part 2/8
--device cuda:1, ...
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command's arguments."""
    made = argparse.ArgumentParser(prog="diffclf generate", description=DESCRIPTION)
    add = made.add_argument
    add("--out", required=True, type=Path, metavar="FOLDER", help="the tree, one folder a class")
    add(
        "--config",
        metavar="NAME",
        help="configuration of diffclf test whose model, template and class names are taken",
    )
    add("--denoiser", metavar="ID", help="hub id, folder of a pipeline, or diffclf/NAME")
    add(
        "--names",
        nargs="+",
        metavar="NAME",
        help='class names: "cat, dog" or cat dog; default: those of --config, or of the model',
    )
    add(
        "--template",
        nargs="+",
        help=f"sentences with {{}} for a name, in turn; default: that of --config, or {TEMPLATE!r}",
    )
    add("--images", type=int, default=100, help="images of each class; default: 100")
    add("--steps", type=int, default=50, help="denoising steps; default: 50")
    add(
        "--guidance",
        type=float,
        help="scale of classifier-free guidance, 1 for none; default: 7.5, of classes 4",
    )
    add("--seed", type=int, default=0, help="seed; default: 0")
    add("--batch-size", type=int, default=16, help="images at once; default: 16")
    add("--part", default="1/1", metavar="K/N", help="the K-th of N parts alone; default: 1/1")
    add("--numbered", action="store_true", help="folders begin with the number of the class")
    add("--device", help="cpu, cuda, cuda:1, mps; default: the best there is")
    add("--dtype", default="auto", help="float32, float16, bfloat16; default: bfloat16 on cuda")
    return made


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where it is printed what was made.

    Raises:
        InputError: If an argument is wrong, or the folder holds something else.
    """
    options = parser().parse_args(list(args))
    part, parts = _part(options.part)
    _defaults(options)

    from diffclf_lightning.denoisers import AutoDenoiser
    from diffclf_lightning.devices import best_device, dtype_for, moved
    from diffclf_lightning.generate.plan import Plan
    from diffclf_lightning.generate.samplers import sampler_of
    from diffclf_lightning.generate.tree import ImageTree
    from diffclf_lightning.weights import identity

    device = options.device or best_device()
    dtype = dtype_for(device, options.dtype)
    denoiser = AutoDenoiser.from_pretrained(options.denoiser, torch_dtype=dtype)
    names, conditions = _told(denoiser, options)
    plan = Plan(names, conditions, options.images, options.seed, options.numbered)
    own = sum(map(len, plan.batches(options.batch_size, part, parts)))
    network = identity(denoiser)
    sampler = sampler_of(denoiser, options.steps, options.guidance)
    made_with = {
        "denoiser": options.denoiser,
        "dtype": dtype,  # before the weights, which it changes
        **network,
        "told": [[str(condition) for condition in each] for each in conditions],
        **sampler.describe(),
    }
    tree = ImageTree(path_of(options.out), plan, made_with)
    moved(denoiser, device)
    tree.begin()
    with tqdm(total=own, unit="image", desc="images", leave=False, disable=None) as bar:
        written = tree.fill(sampler, options.batch_size, part, parts, bar.update)
    console, there = console or Console(), tree.there
    plain: dict[str, Any] = {"soft_wrap": True, "highlight": False, "markup": False}
    console.print(
        f"{written} images written; {there} of {len(plan)} are there: {tree.folder}", **plain
    )
    if there < len(plan):
        console.print(
            f"The others are of other parts: --part 1/{parts} to {parts}/{parts}.", **plain
        )
        return
    by_position = " --model.classes_by_position true" if options.numbered else ""
    console.print(
        f"Train on them: diffclf fit --config baselines/folder --data.root {tree.folder}"
        f"{by_position}",
        **plain,
    )


def _part(given: str) -> tuple[int, int]:
    number, slash, of = given.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise InputError(
            f"Expected --part as K/N with K from 1 to N, 2/8 for instance, but got {given!r}."
        )
    return int(number), int(of)


def _defaults(options: argparse.Namespace) -> None:
    """Take from the configuration what was not typed."""
    if options.names is not None:
        parts = options.names if len(options.names) > 1 else options.names[0].split(",")
        options.names = [part.strip() for part in parts]
    if options.config is not None:
        denoiser, template, names = _configured(find_config(options.config), options)
        options.denoiser = options.denoiser or denoiser
        options.template = options.template or template
        options.names = options.names or names
    if options.denoiser is None:
        raise InputError(
            "Expected --denoiser or --config to say what generates images, but got neither. Give "
            "for instance --denoiser stabilityai/stable-diffusion-2-base."
        )


def _configured(file: str, options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Model, templates and class names of a configuration; None where it has none."""
    with Path(file).open(encoding="utf-8") as opened:
        config: Any = yaml.safe_load(opened)
    model = config.get("model", {}).get("init_args", {})
    denoiser = model.get("denoiser", {})
    named = denoiser.get("init_args", {}) if isinstance(denoiser, dict) else {}
    ensemble = (model.get("candidates") or {}).get("init_args", {})
    template = model.get("template") or ensemble.get("templates")
    template = [template] if isinstance(template, str) else template
    made = config.get("data", {}).get("class_path")
    names = getattr(resolve_name(made), "classnames", None) if made else None
    if not isinstance(names, Sequence) and options.names is None:
        raise InputError(
            f"Expected --config {options.config} to have data whose class names are known without "
            f"reading it, but got {made}. Give --names."
        )
    return named.get("pretrained_model_name_or_path"), template, names


def _told(
    denoiser: "PipelineDenoiser", options: argparse.Namespace
) -> "tuple[list[str], list[list[Condition]]]":
    """Class names, and what the model may be told of each."""
    from diffclf_lightning.prompts import PromptEnsemble

    if denoiser.num_classes is not None:
        if options.template is not None and options.config is None:
            raise InputError(
                f"Expected no --template, since {options.denoiser} takes classes and not words."
            )
        known = list(denoiser.classnames or map(str, range(denoiser.num_classes)))
        names = list(options.names or known)
        return names, [[number] for number in _class_ids(names, denoiser, options.denoiser)]
    if not options.names:
        raise InputError(
            f"Expected --names, since {options.denoiser} has no classes of its own, but got none."
        )
    made = PromptEnsemble(options.template or TEMPLATE).candidates(options.names)
    told: list[list[Condition]] = [[] for _ in options.names]
    for condition, label in zip(made.conditions, made.labels, strict=True):
        told[label].append(condition)
    return list(options.names), told


def _class_ids(names: list[str], denoiser: "PipelineDenoiser", model: str) -> list[int]:
    """The class of a model that each name means."""
    from diffclf_lightning.classnames import class_ids, with_nearest

    known = denoiser.classnames or [str(number) for number in range(denoiser.num_classes or 0)]
    try:
        return class_ids(names, known)
    except InputError as error:
        if denoiser.classnames is None and len(names) == len(known):
            warnings.warn(
                f"{model} has no class names: --names are taken in the order of its classes.",
                stacklevel=2,
            )
            return list(range(len(known)))
        wrong = [name for name in names if not _means_one(name, known)]
        if not wrong:
            raise  # two of them mean one class
        few = ", ".join(known[:LISTED]) + ", ..." * (len(known) > LISTED)
        raise InputError(
            f"Expected --names to be among the {len(known)} classes of {model}, but got "
            f"{with_nearest(wrong, known)}. Choose from them: {few}."
        ) from error


def _means_one(name: str, known: Sequence[str]) -> bool:
    from diffclf_lightning.classnames import class_ids

    try:
        return bool(class_ids([name], known))
    except InputError:
        return False
