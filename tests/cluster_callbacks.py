"""Callbacks that runs of several processes are given by tests."""

import os
import time
from pathlib import Path

from lightning.pytorch import Callback

from diffclf_lightning.results import shared

SLOW = 1.0


class Slow(Callback):
    """Every rank but the first takes a second more for every batch."""

    def on_test_batch_start(self, trainer, *_):
        time.sleep(SLOW * (trainer.global_rank > 0))


class Gates(Callback):
    """Before the batches 1 and 2 a rank says that it is there, and waits to be let through."""

    def on_test_batch_start(self, trainer, module, batch, index, *_):
        folder = Path(os.environ["GATES"])
        if index in (1, 2):
            (folder / f"{index}-reached-{trainer.global_rank}").touch()
            while not (folder / f"{index}-open").exists():
                time.sleep(0.05)


class Impatient(Callback):
    """Files are not waited for."""

    def __init__(self):
        shared.PATIENCE = 0.5
