"""Runs the corpus of bad inputs: ``python tests/reliability/inputs.py [SUBJECT or words]...``.

Prints a line for each case that comes out otherwise than it should, and counts by subject and
outcome. Ends with 1 if there is one.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

for helpers in (".", "../datamodules", "../denoisers", ".."):
    sys.path.append(str(Path(__file__).parent / helpers))

from corpus import cases, run  # noqa: E402


def main(words: list[str], verbose: bool) -> int:
    counts: Counter[tuple[str, str, bool]] = Counter()
    for subject, found in cases().items():
        for case in found:
            if words and subject not in words and not any(word in case.name for word in words):
                continue
            with tempfile.TemporaryDirectory() as folder:
                verdict = run(case, Path(folder))
            counts[subject, case.outcome, not verdict.wrong] += 1
            if verdict.wrong or verbose:
                print(
                    f"{'' if verdict.wrong else 'ok '}{subject}: {case.name} "
                    f"({verdict.seconds:.1f} s): {'; '.join(verdict.wrong)}"
                )
                said = verdict.ended.stderr.strip().splitlines() or ["(says nothing)"]
                for line in said if verbose and verdict.wrong else said[-1:]:
                    print(f"    {line[:600]}", flush=True)
    for subject in dict.fromkeys(subject for subject, _, _ in counts):
        told = ", ".join(
            f"{outcome} {counts[subject, outcome, True]} of "
            f"{counts[subject, outcome, True] + counts[subject, outcome, False]}"
            for outcome in ("refused", "warned", "works")
        )
        print(f"{subject}: {told}")
    good = sum(n for (_, _, right), n in counts.items() if right)
    print(f"{good} of {counts.total()} as they should be")
    return int(good < counts.total())


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(main([word for word in given if word != "-v"], "-v" in given))
