"""``diffclf convert``: a pipeline folder of weights that were published in another layout."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from rich.console import Console

from diffclf_lightning.convert.names import names_of
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

    from diffclf_lightning.denoisers import ClassConditionalDenoiser

KINDS = {name: f"diffclf_lightning.convert.dit:{name}" for name in ("dit", "sit", "repa")}
KINDS["edm2"] = "diffclf_lightning.convert.edm2:edm2"
"""What makes a denoiser of a checkpoint, by kind."""
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
FILES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
"""Ends of files of weights, which no hub id has."""
SCALE = 0.18215
"""Scale of the latents that all kinds were trained on."""
DESCRIPTION = """\
Make a folder that --model.denoiser, diffclf classify and AutoDenoiser load of class-conditional
weights that come in a layout of their own: those of github.com/facebookresearch/DiT, willisma/SiT,
sihyun-yu/REPA and NVlabs/edm2. Size, classes and image size are read from the weights. The file is
one of safetensors, or of torch.save with tensors alone; nothing in it is run.
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command's arguments."""
    made = argparse.ArgumentParser(prog="diffclf convert", description=DESCRIPTION)
    add = made.add_argument
    add("kind", choices=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    add(
        "weights",
        metavar="WEIGHTS",
        help="their file, .pt or .safetensors; of dit also a diffusers pipeline, hub id or folder",
    )
    add("--out", required=True, type=Path, metavar="FOLDER", help="the folder, which is new")
    add(
        "--vae",
        metavar="ID",
        help="autoencoder of the latents: hub id, or folder; stabilityai/sd-vae-ft-mse for the "
        "published weights",
    )
    add(
        "--names",
        nargs="+",
        metavar="NAME",
        help='class names in the order of ids: "cat, dog", cat dog, or a file with one a line; '
        "default: ImageNet's for 1000 classes, else numbers",
    )
    add("--heads", type=int, metavar="N", help="attention heads, for sizes other than S, B, L, XL")
    return made


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where it is printed what was made.

    Raises:
        InputError: If an argument is wrong, or the weights are not of the given kind.
    """
    options = parser().parse_args(list(args))
    out = path_of(options.out)
    if out.exists():
        raise InputError(f"Expected --out to be a new folder, but {str(out)!r} is there already.")
    partial = out.with_name(f"{out.name}.partial")
    if partial.exists():
        raise InputError(
            f"Expected no {str(partial)!r}, where it is made, but it is there: of a conversion "
            "that was stopped, or is going on. Remove it, or take another --out."
        )
    if options.heads is not None and options.heads < 1:
        raise InputError(f"Expected --heads to be at least 1, but got {options.heads}.")
    names = names_of(options.names)

    if options.kind == "dit" and not path_of(options.weights).is_file():
        denoiser = _of_pipeline(options)
    else:
        denoiser = _of_file(options, names)
    denoiser.save_pretrained(partial)
    partial.rename(out)
    count = sum(parameter.numel() for parameter in denoiser.model.parameters())
    (console or Console()).print(
        f"{count:,} parameters, {denoiser.num_classes} classes, images of "
        f"{' x '.join(map(str, denoiser.image_shape))}: {out}\n"
        f"Use it: diffclf classify IMAGE --denoiser {out}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )


def _of_file(
    options: argparse.Namespace, names: Sequence[str] | None
) -> "ClassConditionalDenoiser":
    from diffclf_lightning.convert.checkpoint import Checkpoint

    checkpoint = Checkpoint.read(options.weights)
    vae = None if options.vae is None else _autoencoder(options.vae)
    made: ClassConditionalDenoiser = resolve_name(KINDS[options.kind])(
        checkpoint, vae, names, options.heads
    )
    _check_channels(made, options.vae)
    return made


def _of_pipeline(options: argparse.Namespace) -> "ClassConditionalDenoiser":
    from diffclf_lightning.convert.diffusers_dit import published

    for flag in ("vae", "names", "heads"):
        if (value := getattr(options, flag)) is not None:
            raise InputError(
                f"Expected no --{flag} with a pipeline, which has its own, but got {value!r}. "
                f"Leave it out, or give a file as WEIGHTS; {options.weights!r} is none."
            )
    folder = path_of(options.weights)
    named = HUB_ID.fullmatch(options.weights) and not options.weights.endswith(FILES)
    if not folder.is_dir() and not named:
        raise InputError(
            f"Expected WEIGHTS to be a file, or a pipeline (hub id or folder), but "
            f"{options.weights!r} is no such file, and no hub id."
        )
    return published(str(folder) if folder.is_dir() else options.weights)


def _autoencoder(name: str) -> "AutoencoderKL":
    from diffusers import AutoencoderKL

    from diffclf_lightning.denoisers.wholeness import said

    folder = path_of(name)
    path = str(folder / "vae") if (folder / "vae").is_dir() else name
    expected = "Expected --vae to be an autoencoder of Stable Diffusion (hub id or folder)"
    try:
        vae, loaded = AutoencoderKL.from_pretrained(path, output_loading_info=True)
    except Exception as error:  # diffusers has no error of its own for what it cannot load
        raise InputError(f"{expected}, but {name!r} does not load: {said(error)}.") from error
    if loaded["missing_keys"]:
        raise InputError(
            f"{expected}, but {name!r} lacks {len(loaded['missing_keys'])} of its weights. Fetch "
            "it again, whole."
        )
    config: Any = vae.config
    if config.scaling_factor != SCALE or config.get("shift_factor"):
        raise InputError(
            f"{expected}, whose latents are scaled by {SCALE}, but {name!r} scales by "
            f"{config.scaling_factor} and shifts by {config.get('shift_factor') or 0}."
        )
    return vae


def _check_channels(denoiser: "ClassConditionalDenoiser", vae: str | None) -> None:
    channels = denoiser.sample_shape[0]
    if denoiser.vae is None and channels not in (1, 3):
        raise InputError(
            f"Expected --vae, since the weights are of latents with {channels} channels, but got "
            "none. The published ones take stabilityai/sd-vae-ft-mse."
        )
    if denoiser.vae is not None and denoiser.vae.config.latent_channels != channels:
        raise InputError(
            f"Expected --vae to have latents of {channels} channels, as the weights have, but "
            f"those of {vae!r} have {denoiser.vae.config.latent_channels}."
        )
