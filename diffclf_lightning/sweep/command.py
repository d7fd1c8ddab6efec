"""``diffclf sweep``: every model on every set, each a run of its own.

Each run is a process of its own, which costs it some seconds of imports: so its memory is free
when it ends, nothing that it set in the process or on the devices meets the next, one that is
killed takes none of the others along, and strategies that start processes (``ddp``) start the right
ones.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from diffclf_lightning.compare import compare_runs, read_measured
from diffclf_lightning.errors import InputError
from diffclf_lightning.results import RunFolder
from diffclf_lightning.stopping import Stopped, run_until_stopped
from diffclf_lightning.sweep.plan import LOGS, Member, Sweep, name_of

DESCRIPTION = """\
Test every model on every set: diffclf sweep SWEEP.yaml, or diffclf sweep --configs 'baselines/*'
--data Digits. Runs that have finished are not repeated, interrupted ones go on where they stopped;
one that fails is reported at the end. Ends with the tables and files of diffclf compare. Flags
after -- go to every run.
"""
LONGEST = 300
"""Letters of an error in the list of those that failed."""


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where progress and tables are printed.

    Raises:
        InputError: If the sweep is wrong.
        SystemExit: If a run fails.
    """
    own, flags = list(args), list[str]()
    if "--" in own:
        place = own.index("--")
        own, flags = own[:place], own[place + 1 :]
    options = _parser().parse_args(own)
    sweep = _sweep(options, flags)
    console = console or Console()
    for member in sweep.members:
        member.check()
    if options.dry_run:
        for member in sweep.members:
            _say(console, f"{member.state:9} {member.command}")
        return
    _say(console, f"What each run says goes to {sweep.folder / LOGS}")
    failed = {}
    for number, member in enumerate(sweep.members, 1):
        _say(console, f"[{number}/{len(sweep.members)}] {member.name}: {member.state}")
        if member.state != "finished" and (why := _run(member)) is not None:
            failed[member] = why
            _say(console, f"  failed: {why}")
            continue
        for line in read_measured({member.name: RunFolder(member.folder)}):
            _say(console, f"  {line.set}: {line.report.headline}")
    _end(sweep, failed, console)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="diffclf sweep",
        description=DESCRIPTION,
        usage="%(prog)s [SWEEP.yaml] [options] [-- FLAG ...]",
    )
    add = parser.add_argument
    add(
        "sweep", nargs="?", type=Path, metavar="SWEEP.yaml", help="models, sets, args; see the docs"
    )
    add(
        "--configs",
        nargs="+",
        default=[],
        metavar="CONFIG",
        help="instead: names or files of configurations, or globs of them ('baselines/*')",
    )
    add(
        "--data",
        nargs="+",
        default=[],
        metavar="SET",
        help="data modules, or configurations whose data is taken; default: each model's own",
    )
    add("--name", help="results go to runs/sweep-NAME; default: of the file or of --configs")
    add("--dry-run", action="store_true", help="list the runs and what each would do")
    return parser


def _sweep(options: argparse.Namespace, flags: Sequence[str]) -> Sweep:
    if (options.sweep is None) == (not options.configs):
        raise InputError(
            "Expected either SWEEP.yaml or --configs, but got "
            f"{'neither' if options.sweep is None else 'both'}. Give one of them."
        )
    if options.sweep is None:
        name = options.name or name_of(options.configs)
        return Sweep.make(name, options.configs, options.data, flags)
    if options.data:
        raise InputError(
            f"Expected the data of {options.sweep} in the file, but got --data. Write them there "
            "as `data`."
        )
    return Sweep.read(options.sweep, options.name, flags)


def _run(member: Member) -> str | None:
    """Run a member to its end; why it failed, or None."""
    member.write()
    command = [sys.executable, "-m", "diffclf_lightning", *member.args]
    with member.log.open("wb") as log:
        try:
            status = run_until_stopped(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        except Stopped as stopped:
            raise Stopped(stopped.number, "the same command goes on from here") from None
    if status == 0:
        return RunFolder(member.folder).unfinished()
    return f"{_error(member.log)} (exit status {status}; {member.log})"


def _error(log: Path) -> str:
    """The last error of a log, or else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [place for place, line in enumerate(lines) if "error" in line.lower()]
    said = " ".join(lines[errors[-1] if errors else -1 :])
    return said if len(said) <= LONGEST else f"{said[:LONGEST]}..."


def _end(sweep: Sweep, failed: Mapping[Member, str], console: Console) -> None:
    finished: dict[str, list[Path]] = {}
    for member in sweep.members:
        if member not in failed:
            finished.setdefault(member.data, []).append(member.folder)
    if finished:
        console.print()
        compare_runs(finished, sweep.folder / "compare.csv", console=console)
    if failed:
        _say(console, f"{len(failed)} of {len(sweep.members)} runs failed:")
        for member, why in failed.items():
            _say(console, f"  {member.name}: {why}")
        _say(console, "The same command tries them again.")
        sys.exit(1)


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)
