"""What a run says outside of its folder of results about how far it has come."""

import time
from pathlib import Path

from lightning.pytorch import Callback


class Progress(Callback):
    """Says at the start of every batch how many are behind it, whose rows have to be stored.

    Args:
        seconds: How long it then waits.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def on_test_batch_start(self, trainer, module, batch, index, *_):
        file = Path(f"progress-{trainer.global_rank}")
        file.with_suffix(".partial").write_text(str(index))
        file.with_suffix(".partial").replace(file)
        time.sleep(self.seconds)


def batches_behind(folder: Path) -> int:
    """Batches of all ranks that the last run in a working directory had left behind."""
    return sum(int(file.read_text()) for file in folder.glob("progress-?"))
