"""Errors of the disk: an operation fails, once or with all that follow."""

import errno
from collections.abc import Iterable, Iterator

from .judging import Trial, refused, whole
from .kills import counted
from .striking import Fails
from .subject import FOLDER, LOCK, Subject, read

CODES = errno.ENOSPC, errno.EACCES, errno.EIO


def at_writes(subject: Subject, what: Fails, numbers: Iterable[int]) -> Iterator[Trial]:
    """Have operations of runs fail, and have each run go on.

    Args:
        subject: The run.
        what: What strikes.
        numbers: The operations, ascending; they end with the run.
    """
    for tried, place, ended in subject.struck(what, numbers):
        before = read(place)
        findings = list(counted(place, before))
        if ended.code == 0:  # it could do without
            before.files.discard(LOCK)  # where it could not be removed
            findings += whole(ended, before, subject.reference)
        else:
            findings += refused(ended, FOLDER, processes=subject.ranks)
        findings += subject.resumed(place, before)
        yield Trial("errors", tried, tuple(findings))
