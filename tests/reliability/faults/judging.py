"""What has to be true of a run after a fault, judged from its files and from what it says."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from forked import Ended

LOST, WRONG, TRACEBACK, OTHER = "lost", "silently wrong", "traceback", "otherwise"
FINDINGS = LOST, WRONG, TRACEBACK, OTHER
TAIL = 600
"""Letters of what a run said in a finding."""
Key = tuple[str, str]


@dataclass(frozen=True)
class Finding:
    """Something that is not as it has to be.

    Args:
        kind: One of :data:`FINDINGS`.
        text: What was seen.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Trial:
    """A fault that was tried.

    Args:
        part: What kind of fault.
        recipe: How it is tried again.
        findings: What is not as it has to be.
    """

    part: str
    recipe: str
    findings: tuple[Finding, ...] = ()

    @property
    def kind(self) -> str | None:
        """The worst kind of its findings; None if all is as it has to be."""
        kinds = {finding.kind for finding in self.findings}
        return next((kind for kind in FINDINGS if kind in kinds), None)

    def __str__(self) -> str:
        found = "; ".join(f"{finding.kind}: {finding.text}" for finding in self.findings)
        return f"{self.part}: {self.recipe}: {found or 'as expected'}"


@dataclass(frozen=True)
class Stored:
    """What a folder of results holds.

    Args:
        folder: The folder.
    """

    folder: Path

    @cached_property
    def rows(self) -> dict[Key, dict[str, Any]]:
        """Rows by set and key; files that cannot be read have none."""
        files = [self.folder / "images.parquet", *sorted(self.folder.glob("parts/*.parquet"))]
        tables = (_readable(file) for file in files)
        rows = (row for table in tables if table is not None for row in table.to_pylist())
        return {(row["set"], row["key"]): row for row in rows}

    @cached_property
    def answers(self) -> dict[Key, str]:
        """Rows less their seconds, as texts that differ where a bit does."""
        return {
            key: repr({k: v for k, v in row.items() if k != "seconds"})
            for key, row in self.rows.items()
        }

    @cached_property
    def summary(self) -> Any:
        """What was measured, less seconds; None where there is none."""
        file = self.folder / "summary.json"
        try:
            return _without_seconds(json.loads(file.read_text()))
        except (OSError, ValueError):
            return None

    @cached_property
    def files(self) -> set[str]:
        """Names of all that is in it."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


def _readable(file: Path) -> pa.Table | None:
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            return opened.read()
    except (OSError, pa.ArrowException, ValueError):
        return None


def _without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_seconds(v) for k, v in value.items() if "second" not in k}
    return [_without_seconds(v) for v in value] if isinstance(value, list) else value


def _differing(found: Any, wanted: Any) -> Any:
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = dict.fromkeys((*found, *wanted))
        pairs = {name: (found.get(name), wanted.get(name)) for name in names}
        return {name: _differing(*pair) for name, pair in pairs.items() if pair[0] != pair[1]}
    return found, wanted


def whole(ended: Ended, stored: Stored, reference: Stored) -> Iterator[Finding]:
    """What a run that has to end well lacks against one without a fault."""
    if ended.code != 0:
        yield from refused(ended)
        yield Finding(OTHER, f"exit status {ended.code}: {ended.stderr[-TAIL:]!r}")
        return
    if missing := reference.answers.keys() - stored.answers.keys():
        yield Finding(LOST, f"{len(missing)} rows are missing")
    elif stored.answers != reference.answers:
        wrong = [k for k in stored.answers if stored.answers[k] != reference.answers.get(k)]
        yield Finding(WRONG, f"rows differ: {wrong[:5]}")
    if stored.summary != reference.summary:
        yield Finding(
            WRONG, f"the summary differs: {_differing(stored.summary, reference.summary)}"
        )
    if stored.files != reference.files:
        left, gone = stored.files - reference.files, reference.files - stored.files
        yield Finding(OTHER, f"left behind: {sorted(left)}; gone: {sorted(gone)}")


def kept(before: Stored, after: Stored) -> Iterator[Finding]:
    """What was stored before and is not any more, or was evaluated again."""
    rows = before.rows.items()
    if gone := [key for key, _ in rows if key not in after.rows]:
        yield Finding(LOST, f"{len(gone)} stored rows are gone: {gone[:5]}")
    found = [(row["seconds"], after.rows[key]["seconds"]) for key, row in rows if key in after.rows]
    if again := sum(one != other for one, other in found):
        yield Finding(LOST, f"{again} stored images were evaluated again")


def refused(ended: Ended, *says: str, processes: int = 1) -> Iterator[Finding]:
    """What a run that has to end by one line of error did else.

    Args:
        ended: How it ended.
        says: What the line has to name.
        processes: How many there are, each of which may have a line.
    """
    lines = [line for line in ended.stderr.splitlines() if line.startswith("diffclf: error: ")]
    if "Traceback" in ended.stderr:
        yield Finding(TRACEBACK, ended.stderr[-TAIL:])
    elif ended.code != 2 or not 1 <= len(lines) <= processes:
        yield Finding(
            OTHER, f"exit status {ended.code}, {len(lines)} lines: {ended.stderr[-TAIL:]!r}"
        )
    elif missing := [text for text in says if not any(text in line for line in lines)]:
        yield Finding(OTHER, f"{missing} not in {lines}")
