"""Files of a folder of results that are damaged between two runs."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from .judging import OTHER, Finding, Stored, Trial, kept, refused, whole
from .striking import At, Kill
from .subject import BATCH, FOLDER, IMAGES, LOCK, Subject, read

Damage = Callable[[bytes, random.Random], bytes]
GROSS: dict[str, Damage] = {
    "emptied": lambda content, draw: b"",
    "cut to a tenth": lambda content, draw: content[: len(content) // 10],
    "cut to its half": lambda content, draw: content[: len(content) // 2],
    "cut by 4 bytes": lambda content, draw: content[:-4],
    "of zeros": lambda content, draw: bytes(len(content)),
    "of noise": lambda content, draw: draw.randbytes(len(content)),
}
"""What no file survives."""
REMOVED = "removed"
GOES_ON, SAYS_SO, REFUSED = "goes on", "goes on and names it", "refused"
UNFINISHED = {
    "first part": (SAYS_SO, GOES_ON),
    "last part": (SAYS_SO, GOES_ON),
    "run.json": (REFUSED, REFUSED),
}
FINISHED = {
    "images.parquet": (REFUSED, GOES_ON),
    "run.json": (REFUSED, REFUSED),
    "summary.json": (GOES_ON, GOES_ON),
    "config.yaml": (GOES_ON, GOES_ON),
}
"""What a run does that finds a file damaged, or removed."""


def torn(subject: Subject, seed: int, bits: int = 10, of: int = 1) -> Iterator[Trial]:
    """Damage files of an unfinished and of a finished run, and run again.

    Args:
        subject: The run.
        seed: Of noise, and of the bits that are turned.
        bits: Single bits that are turned in each file.
        of: One in so many trials is run.
    """
    draw = random.Random(seed)
    templates = [(unfinished(subject), UNFINISHED), (subject.folder / "reference", FINISHED)]
    every: list[tuple[Path, str, str, Damage | None, str | None]] = []
    for template, files in templates:
        for name, (damaged, removed) in files.items():
            every += [(template, name, how, damage, damaged) for how, damage in GROSS.items()]
            every.append((template, name, REMOVED, None, removed))
            every += [(template, name, "with a bit turned", turned, None)] * bits
    for template, name, how, damage, wanted in every[draw.randrange(of) :: of]:
        yield _tried(subject, template, name, how, damage, draw.randrange(2**31), wanted)


def unfinished(subject: Subject) -> Path:
    """A working directory with the parts of all batches but the last.

    Raises:
        RuntimeError: If no kill leaves one.
    """
    for number in range(8, 200, 2):
        place = subject.fresh()
        subject.prepared.run(place, At(number, Kill()))
        parts = list((place / FOLDER / "parts").glob("*.parquet"))
        if len(parts) == IMAGES // BATCH - 1 and len(read(place).rows) == IMAGES - BATCH:
            return place
    raise RuntimeError("No kill left all parts but the last.")


def turned(content: bytes, draw: random.Random) -> bytes:
    """A file with one bit turned."""
    changed = bytearray(content)
    changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _tried(
    subject: Subject,
    template: Path,
    name: str,
    how: str,
    damage: Damage | None,
    seed: int,
    wanted: str | None,
) -> Trial:
    """One file damaged or removed; where nothing is wanted, all is right that is not wrong."""
    place = subject.copied(template)
    parts = sorted((place / FOLDER / "parts").glob("*.parquet"))
    file = {"first part": parts[:1], "last part": parts[-1:]}.get(name, [place / FOLDER / name])[0]
    content = file.read_bytes()
    file.unlink()
    before = read(place)
    if damage is not None:
        file.write_bytes(damage(content, random.Random(seed)))
    contents = _contents(place)
    ended = subject.prepared.run(place)
    after = read(place)
    findings: list[Finding] = []
    if wanted == REFUSED or (wanted is None and ended.code != 0):
        findings += refused(ended, *([file.name] if wanted else [FOLDER]))
        if _contents(place) != contents:
            findings.append(Finding(OTHER, "what was refused was changed"))
    elif wanted is not None or after.rows:  # or else checksums say so when the rows are read
        findings += whole(ended, _less_damaged(after), subject.reference)
        findings += kept(before, after)
        if wanted == SAYS_SO and file.name not in ended.stderr:
            findings.append(Finding(OTHER, f"{file.name} is not named: {ended.stderr!r}"))
    state = "finished" if template.name == "reference" else "unfinished"
    return Trial("torn", f"{name}, {state}, {how}, seed {seed}", tuple(findings))


def _contents(place: Path) -> dict[str, bytes]:
    files = (path for path in (place / FOLDER).rglob("*") if path.is_file())
    return {str(file): file.read_bytes() for file in files if file.name != LOCK}


def _less_damaged(stored: Stored) -> Stored:
    """What is stored, but for damaged parts that were set aside, and their folder."""
    aside = {name for name in stored.files if name.endswith(".damaged")}
    stored.files.difference_update(aside | ({"parts"} if aside else set()))
    return stored
