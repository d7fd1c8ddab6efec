"""Files that would run code, or write elsewhere, where they are read without care."""

import io
import os
import pickle
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

import torch


class Evil:
    """Makes a folder when it is unpickled.

    Args:
        marker: The folder.
    """

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def pickled(marker: Path) -> bytes:
    """A plain pickle."""
    return pickle.dumps(Evil(marker), protocol=2)


def saved(marker: Path) -> bytes:
    """As ``torch.save`` writes it, in an archive."""
    content = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.ones(2)}, "more": Evil(marker)}, content)
    return content.getvalue()


def saved_before(marker: Path) -> bytes:
    """As it was written before 1.6."""
    content = io.BytesIO()
    torch.save({"weight": Evil(marker)}, content, _use_new_zipfile_serialization=False)
    return content.getvalue()


def scripted(marker: Path) -> bytes:
    """TorchScript, which torch would load with its code."""
    content = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), content)
    return content.getvalue()


def archive(file: Path, member: str, link: str | None = None) -> Path:
    """A tar file whose member leads out of the folder that it is unpacked to."""
    with tarfile.open(file, "w:gz") as tar:
        one = tarfile.TarInfo(member)
        if link is not None:
            one.type, one.linkname = tarfile.SYMTYPE, link
        tar.addfile(one)
        if link is not None:
            tar.addfile(tarfile.TarInfo(f"{member}/marker"))
    return file


def bomb(side: int = 60_000) -> bytes:
    """A PNG of a hundred bytes that says it is of gigabytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
