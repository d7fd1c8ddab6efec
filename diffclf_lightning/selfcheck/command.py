"""``diffclf selfcheck``: whether a model that nobody ran yet is told and understood rightly."""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffclf_lightning.selfcheck.findings import Finding, Verdict, overall

STYLES = {Verdict.RIGHT: "green", Verdict.WRONG: "bold red", Verdict.UNDECIDED: "yellow"}
DESCRIPTION = """\
Look whether a model that nobody ran here yet is told and understood rightly. It generates a few
images of prompts (or classes) by its diffusers pipeline, which knows nothing of this package. On
them latents, sign and target of the prediction, scale of the time, and conditioning are measured
against what would be wrong; and the model is timed. Ends with 1 if something is wrong.
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command's arguments."""
    made = argparse.ArgumentParser(prog="diffclf selfcheck", description=DESCRIPTION)
    add = made.add_argument
    add("denoiser", metavar="ID", help="hub id, folder of a pipeline, or diffclf/NAME")
    add(
        "--prompts",
        nargs="+",
        metavar="PROMPT",
        help='prompts, or class names of a model of classes: "cat, dog" or cat dog; default: four',
    )
    add("--images", type=int, default=4, help="images of each prompt; default: 4")
    add("--steps", type=int, default=25, help="denoising steps; default: 25")
    add(
        "--guidance",
        type=float,
        default=1.0,
        help="scale of guidance; default: 1, since others leave the model's own distribution",
    )
    add("--trials", type=int, default=16, help="trials of a prompt in classification; default: 16")
    add("--folder", help="images of your own beside them, best in folders named by --prompts")
    add("--image-size", type=int, help="side of the images, for families that take several")
    add("--batch-size", type=int, default=4, help="images, or evaluations, at once; default: 4")
    add("--seed", type=int, default=0, help="seed of images and noise; default: 0")
    add("--device", help="cpu, cuda, cuda:1, mps; default: the best there is")
    add("--dtype", default="auto", help="float32, float16, bfloat16; default: bfloat16 on cuda")
    add("--json", action="store_true", help="print JSON, all figures unrounded")
    return made


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command; the process ends with 1 if something is wrong.

    Args:
        args: Its arguments.
        console: Where the table is printed.

    Raises:
        InputError: If an argument is wrong, or there are no images to look at.
    """
    options = parser().parse_args(list(args))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        findings = _checked(options)
    notes = list(dict.fromkeys(str(warning.message) for warning in said if _meant(warning)))
    verdict = overall(findings)
    if options.json:
        plain = {"model": options.denoiser, "verdict": verdict, "warnings": notes}
        plain |= {"findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(plain, indent=2) + "\n")
    else:
        _print(findings, notes, console or Console())
    if verdict is Verdict.WRONG:
        sys.exit(1)


def _checked(options: argparse.Namespace) -> list[Finding]:
    from diffclf_lightning.denoisers import AutoDenoiser
    from diffclf_lightning.devices import best_device, dtype_for, moved
    from diffclf_lightning.selfcheck.checks import selfcheck

    device = options.device or best_device()
    prompts = options.prompts
    if prompts is not None:
        parts = prompts if len(prompts) > 1 else prompts[0].split(",")
        prompts = [part.strip() for part in parts]
    denoiser = AutoDenoiser.from_pretrained(
        options.denoiser,
        image_size=options.image_size,
        torch_dtype=dtype_for(device, options.dtype),
    )
    return selfcheck(
        moved(denoiser, device),
        prompts,
        options.images,
        options.steps,
        options.guidance,
        options.trials,
        options.folder,
        options.batch_size,
        options.seed,
    )


def _meant(warning: warnings.WarningMessage) -> bool:
    """Whether a warning is for who uses a model, and not for who writes code."""
    return not issubclass(warning.category, DeprecationWarning | FutureWarning)


def _print(findings: Sequence[Finding], notes: Sequence[str], console: Console) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_lines=True)
    for heading in ("check", "images", "verdict"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what was found", overflow="fold")
    for finding in findings:
        found = Text(finding.said)
        if finding.advice:
            found.append(f"\n{finding.advice}", "italic")
        verdict = Text(finding.verdict.value, STYLES.get(finding.verdict, ""))
        table.add_row(finding.check, finding.images, verdict, found)
    console.print(table)
    plain: dict[str, Any] = {"soft_wrap": True, "highlight": False, "markup": False}
    for note in notes:
        console.print(f"Warning: {note}", **plain)
    wrong = [f.check for f in findings if f.verdict is Verdict.WRONG]
    unsure = [f.check for f in findings if f.verdict is Verdict.UNDECIDED]
    answer = "Nothing is wrong."
    if wrong:
        answer = f"WRONG: {', '.join(wrong)}."
    elif unsure:
        answer = f"Nothing is wrong, but undecided: {', '.join(unsure)}."
    console.print(answer, **plain)
