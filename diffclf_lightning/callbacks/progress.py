"""EvaluationProgress: a progress bar that moves inside a batch."""

import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from tqdm.auto import tqdm

from diffclf_lightning.image_classifier import ImageClassifier

FORMAT = (
    "{desc} {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} evaluations "
    "[{elapsed}<{remaining}, {rate_fmt}{postfix}]"
)


class EvaluationProgress(TQDMProgressBar):
    """Evaluations done and to do, their rate, time left and accuracy, in ``test`` and ``predict``.

    A batch of ImageNet can take an hour; the bar moves with every forward pass. Under several
    ranks it shows those of the first. Training keeps Lightning's own bar.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None
        self._in_batch = 0

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave Lightning's bar away; ours opens once the sets are known."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave Lightning's bar away; ours opens once the sets are known."""

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar over all sets."""
        self._open(trainer, pl_module)

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar over all sets."""
        self._open(trainer, pl_module)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, *args: Any
    ) -> None:
        """Name the set."""
        self._start(pl_module, *args)

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, *args: Any
    ) -> None:
        """Name the set."""
        self._start(pl_module, *args)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        """Correct the work to do by what the batch took, and show the accuracy."""
        self._end(pl_module, batch, *args)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        """Correct the work to do by what the batch took."""
        self._end(pl_module, batch, *args)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._bar.close()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._bar.close()

    def _open(self, trainer: Trainer, pl_module: LightningModule) -> None:
        total = None
        if isinstance(pl_module, ImageClassifier):
            pl_module.on_evaluations = self._advance
            counts = [s.num_images for s in pl_module.sets]
            if None not in counts:
                costs = [s.evaluations_per_image for s in pl_module.sets]
                total = sum(n * c for n, c in zip(counts, costs, strict=True) if n is not None)
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            unit="",
            unit_scale=True,
            bar_format=FORMAT,
            disable=not trainer.is_global_zero or self.is_disabled,
            mininterval=0.1 if terminal else 10.0,
            dynamic_ncols=terminal,
            file=sys.stderr,
        )

    def _advance(self, evaluations: int) -> None:
        self._in_batch += evaluations
        self._bar.update(evaluations)

    def _start(self, pl_module: LightningModule, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._in_batch = 0
        if isinstance(pl_module, ImageClassifier):
            self._bar.set_description_str(pl_module.sets[dataloader_idx].name, refresh=False)

    def _end(
        self, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not isinstance(pl_module, ImageClassifier):
            return
        images = len(batch[0]) if isinstance(batch, list | tuple) else len(batch)
        planned = images * pl_module.sets[dataloader_idx].evaluations_per_image
        if self._bar.total is not None:
            self._bar.total += self._in_batch - planned
        accuracy = pl_module.running_accuracy()
        if accuracy is not None:
            self._bar.set_postfix_str(f"accuracy {accuracy:.1%}", refresh=False)
