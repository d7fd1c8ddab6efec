"""``diffclf completion``: a script that completes commands, configurations and flags in a shell."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from diffclf_lightning import classify
from diffclf_lightning.cli import COMMANDS, LIGHTNING
from diffclf_lightning.configurations import shipped_configs
from diffclf_lightning.convert import command as convert
from diffclf_lightning.extras import needed
from diffclf_lightning.generate import command as generate
from diffclf_lightning.robustness import command as robustness

SHELLS = ("bash", "zsh", "tcsh")
DESCRIPTION = """\
Print a script that completes commands, configurations, flags and files. For bash:
eval "$(diffclf completion bash)", in ~/.bashrc for instance.
"""
FLAGS = ("--denoiser", "--model", "--data", "--data.root", "--results.folder", "--ckpt_path")
TRAINER = ("--trainer.devices", "--trainer.precision", "--trainer.accelerator")
"""Of the hundreds of flags of LightningCLI those that are typed most."""
PARSERS = {
    "classify": classify.parser,
    "convert": convert.parser,
    "generate": generate.parser,
    "robustness": robustness.parser,
}


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: Its arguments.

    Raises:
        InputError: If the package that writes the script is missing.
    """
    parser = argparse.ArgumentParser(prog="diffclf completion", description=DESCRIPTION)
    parser.add_argument("shell", choices=SHELLS)
    shell = parser.parse_args(list(args)).shell
    shtab = needed("shtab", "completion")
    sys.stdout.write(shtab.complete(whole_parser(shtab.FILE), shell) + "\n")


def whole_parser(file: Any) -> argparse.ArgumentParser:
    """A parser of all commands, for the names in it.

    Args:
        file: What makes an argument complete to files.
    """
    whole = argparse.ArgumentParser(prog="diffclf")
    whole.add_argument("--version", action="store_true", help="say the version")
    commands = whole.add_subparsers()
    for name, command in COMMANDS.items():
        own = [PARSERS[name]()] if name in PARSERS else []
        added = commands.add_parser(
            name, help=command.does, parents=own, conflict_handler="resolve", add_help=not own
        )
        if name in LIGHTNING:
            added.add_argument("--config", "-c", choices=shipped_configs(), help="configuration")
            for flag in (*FLAGS, *TRAINER):
                added.add_argument(flag).complete = file  # type: ignore[attr-defined]
        elif not own:
            added.add_argument("run", nargs="*").complete = file  # type: ignore[attr-defined]
    return whole
