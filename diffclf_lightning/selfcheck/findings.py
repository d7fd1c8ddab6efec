"""Findings: what each check says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

Figure = float | int | str | Sequence[float] | Mapping[str, float]


class Verdict(StrEnum):
    """What a check concludes."""

    RIGHT = "right"
    WRONG = "WRONG"
    UNDECIDED = "undecided"
    MEASURED = "measured"
    """There is nothing to be right or wrong about."""


@dataclass(frozen=True)
class Finding:
    """What a check says.

    Args:
        check: Name of the check.
        verdict: What it concludes.
        said: Its figures, in a sentence.
        advice: What to do about it, empty where nothing is to be done.
        images: Of which images: ``generated`` or ``folder``, empty of neither.
        figures: The figures by name, unrounded.
    """

    check: str
    verdict: Verdict
    said: str
    advice: str = ""
    images: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)


def overall(findings: Sequence[Finding]) -> Verdict:
    """Wrong if any finding is, else undecided if any is, else right."""
    found = {finding.verdict for finding in findings}
    for verdict in (Verdict.WRONG, Verdict.UNDECIDED):
        if verdict in found:
            return verdict
    return Verdict.RIGHT
