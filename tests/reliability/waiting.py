"""Runs that wait for a signal, or fail."""

import hashlib
import os
import time
from pathlib import Path

from lightning.pytorch import Callback

from diffclf_lightning.errors import InputError

REACHED = Path("reached")
LONG = 10**8
"""Rounds of a call of C, which no signal ends: a minute."""


class Waiting(Callback):
    """Waits in a hook for a minute.

    Args:
        hook: The name of the hook.
        batch: The batch in which it waits, where a hook is called for each.
        deaf: Whether it waits in one call of C, as one for another rank is.
    """

    def __init__(self, hook: str, batch: int = 0, deaf: bool = False) -> None:
        self.batch, self.deaf = batch, deaf
        setattr(self, hook, self._called)

    def _called(self, trainer, module, *given, **named):
        if (given[1] if len(given) > 1 else self.batch) == self.batch:
            Path(f"{REACHED}{os.environ.get('RANK', 0)}").touch()
            if self.deaf:
                hashlib.pbkdf2_hmac("sha256", b"", b"", LONG)
            time.sleep(60)


class Failing(Callback):
    """Fails in the second batch.

    Args:
        ranks: On which ranks.
    """

    def __init__(self, ranks: list[int] | None = None) -> None:
        self.ranks = ranks or [0]

    def on_test_batch_start(self, trainer, module, batch, index, *_):
        if index == 1 and trainer.global_rank in self.ranks:
            raise InputError("Expected nothing.")


def waits(hook, batch=0, deaf=False):
    """Arguments of the command line."""
    name = "--trainer.callbacks"
    return [
        f"{name}=waiting.Waiting", f"{name}.hook={hook}", f"{name}.batch={batch}",
        f"{name}.deaf={deaf}",
    ]  # fmt: skip


def wait_for(folder, run, rank=0):
    """Wait until a run is there."""
    while not (folder / f"{REACHED}{rank}").exists():
        assert os.waitpid(run.pid, os.WNOHANG) == (0, 0)
        time.sleep(0.005)
