"""Whether all ranks see one folder of results: nodes may have file systems of their own."""

import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

from diffclf_lightning.errors import InputError
from diffclf_lightning.files import changing
from diffclf_lightning.ranks import of_all_ranks, on_first

PATIENCE = 60.0
"""Seconds until a new file is missed: network file systems may show it late."""
INTERVAL = 0.2
MARK = ".seen-"
"""Beginning of the name of the file that all have to see."""


def check_shared(folder: Path, rank: int) -> None:
    """Say, on every rank, if one of them does not see what the first one writes.

    Args:
        folder: Folder of results, which is there on the first rank.
        rank: This rank.

    Raises:
        InputError: If there is such a rank; the message has its folder and its host.
    """
    if len(names := of_all_ranks(uuid4().hex)) == 1:
        return
    mark = folder / f"{MARK}{names[0]}"
    on_first(rank, partial(_change, mark, mark.touch))  # nobody looks before it is there
    place = f"{str(folder.resolve())!r} on {socket.gethostname()} (rank {rank})"
    seen = of_all_ranks((place, _appears(mark)))
    on_first(rank, partial(_change, mark, mark.unlink))
    blind = [place for place, appeared in seen if not appeared]
    if blind:
        raise InputError(
            "Expected argument `results.folder` to be one folder that all processes see, but what "
            f"was written to {seen[0][0]} is not in {', '.join(blind[:3])}"
            f"{', ...' if len(blind) > 3 else ''}. Give a whole path, on a file system that all "
            "nodes share."
        )


def _change(mark: Path, change: Callable[[], None]) -> None:
    with changing(mark):
        change()


def _appears(mark: Path) -> bool:
    """Whether a folder lists a file, now or soon: asking for it by name may be answered of old."""
    end = time.monotonic() + PATIENCE
    while True:
        if mark.parent.is_dir() and any(file.name == mark.name for file in mark.parent.iterdir()):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(INTERVAL)
