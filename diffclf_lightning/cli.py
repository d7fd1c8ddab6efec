"""The command line: what is asked for is found without importing what it does not need.

``fit``, ``validate``, ``test`` and ``predict`` are LightningCLI with all its flags
(:mod:`diffclf_lightning.lightning_cli`); the other commands stand beside it.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from textwrap import fill

from diffclf_lightning.configurations import resolve_configs, shipped_configs
from diffclf_lightning.ending import ending, flush, leave
from diffclf_lightning.errors import InputError
from diffclf_lightning.stopping import Stopping


@dataclass(frozen=True)
class Command:
    """A command.

    Args:
        usage: What follows its name.
        does: What it does, in half a line.
        module: Where its ``main`` is. Defaults to LightningCLI.
    """

    usage: str
    does: str
    module: str = "lightning_cli"


LIGHTNING = "fit", "validate", "test", "predict"
"""Commands of LightningCLI."""
COMMANDS = {
    "classify": Command("IMAGE...", "say what images show", "classify"),
    "test": Command("--config NAME", "measure a classifier on test sets"),
    "validate": Command("--config NAME", "measure it on validation images"),
    "predict": Command("--config NAME", "answer images without labels"),
    "fit": Command("--config NAME", "train a denoiser or a baseline"),
    "generate": Command("--out FOLDER", "draw images of classes to train on", "generate.command"),
    "convert": Command("KIND WEIGHTS", "make a model of published weights", "convert.command"),
    "selfcheck": Command("ID", "look whether a model works as it should", "selfcheck.command"),
    "sweep": Command("SWEEP.yaml", "test many models on many sets", "sweep.command"),
    "compare": Command("RUN...", "compare finished runs, image by image", "compare.command"),
    "robustness": Command("RUN...", "compare them with baselines", "robustness.command"),
    "report": Command("RUN...", "write them as an HTML page", "report.command"),
    "figures": Command("RUN...", "draw errors over time, accuracy over trials", "figures.command"),
    "costs": Command("RUN...", "seconds and evaluations of an image", "costs"),
    "training-filter": Command(
        "--data NAME", "share of sets that a training filter keeps", "training_filter.command"
    ),
    "score": Command("RUN", "answer again by another score", "score"),
    "calibrate": Command("RUN", "fit probabilities and scores on its rows", "calibrate.command"),
    "completion": Command("SHELL", "print a script that completes all this", "completion"),
}
HELP = """\
usage: diffclf [--version] [--help] COMMAND ...

Turn a conditional diffusion model into an image classifier, and measure it.

{commands}

diffclf COMMAND --help says more of each. NAME is a file, or a configuration that the package
carries: {configs}.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: Arguments. Defaults to None: those of the process.
    """
    given = sys.argv[1:] if args is None else list(args)
    stopping = Stopping()
    try:
        stopping.begin()
        _run(given, stopping, own_process=args is None)
        flush(sys.stdout)
    except BaseException as error:
        code = ending(error, stopping)
        if code is None:
            raise
        if args is None:
            leave(code)
        sys.exit(code)
    finally:
        stopping.end()


def _run(given: list[str], stopping: Stopping, *, own_process: bool) -> None:
    name = given[0] if given else "--help"
    if name in ("--help", "-h"):
        sys.stdout.write(_help())
    elif name == "--version":
        sys.stdout.write(f"diffclf-lightning {version('diffclf-lightning')}\n")
    elif name in LIGHTNING:
        resolved, run_name = resolve_configs(given)
        if own_process:  # so that the processes which Lightning starts get the same
            sys.argv[1:] = resolved
        import_module("diffclf_lightning.lightning_cli").main(resolved, run_name, stopping)
    elif name in COMMANDS:
        import_module(f"diffclf_lightning.{COMMANDS[name].module}").main(given[1:])
    else:
        close = get_close_matches(name, COMMANDS, n=1) or ["test"]
        raise InputError(
            f"Expected a command ({', '.join(COMMANDS)}), but got {name!r}. The nearest is "
            f"`diffclf {close[0]}`."
        )


def _help() -> str:
    called = {name: f"{name} {command.usage}" for name, command in COMMANDS.items()}
    width = max(map(len, called.values()))
    rows = [f"  {called[n]:<{width}}  {command.does}" for n, command in COMMANDS.items()]
    text = HELP.format(commands="\n".join(rows), configs=", ".join(shipped_configs()))
    *head, last = text.rstrip("\n").split("\n\n")
    return "\n\n".join([*head, fill(last, 96, break_on_hyphens=False)]) + "\n"
