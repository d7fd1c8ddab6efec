"""Tries every fault, and prints how often what is promised held.

``make reliability``, or ``python tests/reliability/whole.py --only kills,torn --seed 1``.
"""

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch

for helpers in (".", "../datamodules", "../denoisers", ".."):
    sys.path.append(str(Path(__file__).parent / helpers))

from faults import errors, kills, nodes, others, soak, together, torn  # noqa: E402
from faults.judging import FINDINGS, OTHER, Finding, Trial  # noqa: E402
from faults.striking import Fails, Kill, PowerLoss, Torn  # noqa: E402
from faults.subject import Subject, subject  # noqa: E402

PARTS = "kills", "errors", "torn", "together", "nodes", "ranks", "corpus", "soak"
FOLDERS = 30
"""Of which each is killed several times at random."""


@dataclass(frozen=True)
class Share:
    """Trials that are run one after another.

    Args:
        part: Part of the table that they belong to.
        run: Gives them; takes a folder and a seed.
    """

    part: str
    run: Callable[[Path, int], Iterable[Trial]]


def of_subject(part: str, run: Callable[[Subject, int], Iterable[Trial]], ranks: int = 1) -> Share:
    """Trials of one run, which waits before its test."""

    def trials(folder: Path, seed: int) -> Iterator[Trial]:
        with subject(folder, ranks) as ready:
            yield from run(ready, seed)

    return Share(part, trials)


def shares(every: int) -> list[Share]:
    """All trials, those that take longest first.

    Args:
        every: One in so many operations on files is struck, and one in so many folders at random.
    """
    folders = max(1, FOLDERS // every)

    def killed(what: Kill, ranks: int = 1) -> Share:
        return of_subject("kills", lambda s, _: kills.at_writes(s, what, count(1, every)), ranks)

    def failing(what: Fails) -> Share:
        return of_subject("errors", lambda s, _: errors.at_writes(s, what, count(1, every)))

    def at_random(ranks: int) -> Share:
        return of_subject("kills", lambda s, seed: kills.at_random(s, seed, folders), ranks)

    def matrix(ranks: int) -> Share:
        return Share("ranks", lambda folder, _: others.matrix(folder, ranks))

    def inputs(name: str) -> Share:
        return Share("corpus", lambda folder, _: others.inputs(folder, name))

    return [
        Share("nodes", lambda folder, _: nodes.nodes(folder)),
        *map(matrix, (3, 2)),
        *map(inputs, others.SUBJECTS),
        *map(killed, (Kill(), Torn(0.0), Torn(0.5), PowerLoss())),
        killed(Kill(), ranks=2),
        *(failing(Fails(code, lasting)) for code in errors.CODES for lasting in (False, True)),
        *map(at_random, (2, 1)),
        of_subject("kills", lambda ready, seed: kills.stopped(ready, seed, folders)),
        of_subject(
            "errors", lambda s, _: errors.at_writes(s, Fails(), count(1, 3 * every)), ranks=2
        ),
        of_subject("torn", torn.torn),
        of_subject("together", lambda ready, _: together.together(ready)),
        Share("soak", lambda folder, _: soak.soak(folder)),
    ]


def table(trials: Iterable[Trial]) -> str:
    """How trials came out, by part."""
    counts = Counter((trial.part, trial.kind) for trial in trials)
    columns = [None, *FINDINGS]
    lines = [
        f"| part | tried | as expected | {' | '.join(FINDINGS)} |",
        "|---|" + "--:|" * (2 + len(FINDINGS)),
    ]
    for part in PARTS:
        numbers = [counts[part, kind] for kind in columns]
        if total := sum(numbers):
            lines.append(f"| {part} | {total} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def run(chosen: list[Share], seed: int, jobs: int) -> Iterator[list[Trial]]:
    """Trials of each share, as they end; where a share itself fails, that is one more."""
    with tempfile.TemporaryDirectory() as folder:
        global _chosen
        _chosen = chosen  # forked processes have it
        fork = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(jobs, fork) as pool:
            places = [Path(folder) / f"{number}" for number in range(len(chosen))]
            running = [pool.submit(_run, n, place, seed) for n, place in enumerate(places)]
            for ended in as_completed(running):
                yield ended.result()


_chosen: list[Share] = []


def _run(number: int, folder: Path, seed: int) -> list[Trial]:
    share, trials = _chosen[number], []
    try:
        for trial in share.run(folder, seed):
            trials.append(trial)  # noqa: PERF402  those before an error count
    except Exception:
        finding = Finding(OTHER, traceback.format_exc())
        trials.append(Trial(share.part, f"share {number} after {len(trials)} trials", (finding,)))
    return trials


def main() -> int:
    """Try what is asked for; 1 if anything came out otherwise than expected."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"parts, separated by commas, of {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("--every", type=int, default=1, help="strike one in so many operations")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at once")
    given = parser.parse_args()
    parts = given.only.split(",") if given.only else PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    start = time.monotonic()
    trials: list[Trial] = []
    for some in run(
        [one for one in shares(given.every) if one.part in parts], given.seed, given.jobs
    ):
        trials += some
        for trial in some:
            if trial.findings:
                print(trial, flush=True)
    print(f"\n{table(trials)}\n\nseed {given.seed}, {time.monotonic() - start:.0f} s")
    return int(any(trial.findings for trial in trials))


if __name__ == "__main__":
    sys.exit(main())
