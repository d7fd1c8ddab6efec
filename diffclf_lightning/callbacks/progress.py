"""EvaluationProgress: a progress bar that moves inside a batch."""

import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from tqdm.auto import tqdm

from diffclf_lightning.answers import as_batch, batch_size
from diffclf_lightning.image_classifier import ImageClassifier

FORMAT = (
    "{desc} {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} evaluations "
    "[{elapsed}<{remaining}, {rate_fmt}{postfix}]"
)


class EvaluationProgress(TQDMProgressBar):
    """Evaluations done and to do, their rate, time left and accuracy, in ``test`` and ``predict``.

    A batch of ImageNet can take an hour; the bar moves with every forward pass. Where images take
    fewer evaluations than they might, what is to do is estimated from the images so far. Under
    several ranks it shows those of the first. Training keeps Lightning's own bar.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None
        self._in_batch = self._took = self._most = self._left = 0
        """Evaluations of the batch; of all images so far, and at most; at most to come."""

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave Lightning's bar away; ours opens once the sets are known."""

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        total = None
        self._took = self._most = self._left = 0
        if isinstance(pl_module, ImageClassifier):
            pl_module.on_evaluations = self._advance
            planned = [(s.num_images, s.evaluations_per_image) for s in pl_module.sets]
            known = [n * c for n, c in planned if n is not None and c is not None]
            total = sum(known) if len(known) == len(planned) else None
            self._left = total or 0
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

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._in_batch = 0
        if isinstance(pl_module, ImageClassifier):
            self._bar.set_description_str(pl_module.sets[dataloader_idx].name, refresh=False)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Estimate the work to do by what images took so far, and show the accuracy."""
        if not isinstance(pl_module, ImageClassifier):
            return
        cost = pl_module.sets[dataloader_idx].evaluations_per_image
        if self._bar.total is not None and cost is not None:
            self._left -= batch_size(as_batch(batch)) * cost
            self._most += (0 if outputs is None else len(outputs.keys)) * cost
            self._took += self._in_batch
            share = self._took / self._most if self._most else 1
            self._bar.total = self._took + round(share * max(0, self._left))
        accuracy = pl_module.running_accuracy()
        if accuracy is not None:
            self._bar.set_postfix_str(f"accuracy {accuracy:.1%}", refresh=False)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._bar.close()

    on_predict_start = on_test_start
    on_predict_epoch_start = on_test_epoch_start
    on_predict_batch_start = on_test_batch_start
    on_predict_batch_end = on_test_batch_end
    on_predict_end = on_test_end

    def _advance(self, evaluations: int) -> None:
        self._in_batch += evaluations
        if self._bar.total is not None:  # of which tqdm would show nothing once it is passed
            self._bar.total = max(self._bar.total, self._took + self._in_batch)
        self._bar.update(evaluations)
