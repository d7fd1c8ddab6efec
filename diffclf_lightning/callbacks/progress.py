"""EvaluationProgress: a progress bar that moves inside a batch."""

import sys
from dataclasses import dataclass
from itertools import chain
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


@dataclass
class _Work:
    """Evaluations of a set: to come, at most; of its images so far; and of these, at most."""

    left: int
    took: int = 0
    most: int = 0


class EvaluationProgress(TQDMProgressBar):
    """Evaluations done and to do, their rate, time left and accuracy, in ``test`` and ``predict``.

    A batch of ImageNet can take an hour; the bar moves with every forward pass. Where images take
    fewer evaluations than they might, it begins with "at most"; then what is to do is estimated
    from the images so far, those of the same set where there are some. Under several ranks it
    shows those of the first. Training keeps Lightning's own bar.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None
        self._in_batch = 0
        self._sets: list[_Work] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave Lightning's bar away; ours opens once the sets are known."""

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._sets, total, adaptive = [], None, False
        if isinstance(pl_module, ImageClassifier):
            pl_module.on_evaluations = self._advance
            planned = [(s.num_images, s.evaluations_per_image) for s in pl_module.sets]
            self._sets = [_Work(left=(n or 0) * (c or 0)) for n, c in planned]
            total = None if None in chain(*planned) else self._estimate()
            adaptive = pl_module.adaptive
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
        if adaptive and total is not None:
            self._bar.set_postfix_str("at most", refresh=False)

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
            work = self._sets[dataloader_idx]
            work.left = max(0, work.left - batch_size(as_batch(batch)) * cost)
            work.most += (0 if outputs is None else len(outputs.keys)) * cost
            work.took += self._in_batch
            self._in_batch = 0
            self._bar.total = self._estimate()
        accuracy = pl_module.running_accuracy()
        said = "" if accuracy is None else f"accuracy {accuracy:.1%}"
        self._bar.set_postfix_str(said, refresh=False)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._bar.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """End the line, so that the error has one of its own."""
        names = ("_bar", "_val_progress_bar", "_train_progress_bar")
        for bar in (getattr(self, name, None) for name in names):
            if bar is not None:
                bar.close()

    on_predict_start = on_test_start
    on_predict_epoch_start = on_test_epoch_start
    on_predict_batch_start = on_test_batch_start
    on_predict_batch_end = on_test_batch_end
    on_predict_end = on_test_end

    def _advance(self, evaluations: int) -> None:
        self._in_batch += evaluations
        if self._bar.total is not None:  # of which tqdm would show nothing once it is passed
            took = sum(work.took for work in self._sets)
            self._bar.total = max(self._bar.total, took + self._in_batch)
        self._bar.update(evaluations)

    def _estimate(self) -> int:
        """Evaluations of the run: those so far, and what is to come at the rate of those."""
        took, most = sum(w.took for w in self._sets), sum(w.most for w in self._sets)
        share = took / most if most else 1.0
        left = [w.left * (w.took / w.most if w.most else share) for w in self._sets]
        return round(took + sum(left))
