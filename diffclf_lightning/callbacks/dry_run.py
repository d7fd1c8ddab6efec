"""DryRun: what a test would take, before it takes it."""

import resource
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from diffclf_lightning.answers import as_batch
from diffclf_lightning.callbacks.results import tested_classifier
from diffclf_lightning.image_classifier import ImageClassifier

SECONDS, PASSES = 3.0, 30
"""A set is timed for so long, or for so many forward passes, whichever ends first."""


class Estimated(Exception):  # noqa: N818
    """Ends a run that was only to be estimated."""


class _Timed(Exception):  # noqa: N818
    """Ends an answer that has been timed long enough."""


class DryRun(Callback):
    """Times a few forward passes of each set, says what all would take, and ends the run.

    Nothing is written. The time is what the evaluations take, without loading. Of a strategy that
    decides as it goes all is said "at most".
    """

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        classifier = tested_classifier(self, pl_module)
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for heading in ("set", "images", "evaluations\nan image", "evaluations", "time"):
            table.add_column(heading, justify="left" if heading == "set" else "right")
        loaders = trainer.test_dataloaders
        loaders = list(loaders.values()) if isinstance(loaders, dict) else loaders
        loaders = loaders if isinstance(loaders, list) else [loaders]
        for current, loader in zip(classifier.sets, loaders, strict=True):
            rate = evaluations_per_second(classifier, current.prepared, next(iter(loader)))
            images = current.num_images and current.num_images * trainer.world_size
            each = current.evaluations_per_image
            whole = None if images is None or each is None else images * each
            seconds = None if whole is None else whole / rate / trainer.world_size
            costs = _count(each), _count(whole), _duration(seconds)
            most = "at most " if classifier.adaptive else ""
            table.add_row(current.name, _count(images), *(most + cost for cost in costs))
        if trainer.is_global_zero:
            console = Console()
            console.print(table)
            console.print(_memory(classifier), highlight=False)
        raise Estimated


def evaluations_per_second(classifier: ImageClassifier, prepared: Any, batch: Any) -> float:
    """Evaluations a second while a classifier answers a batch, timed for a few seconds.

    Args:
        classifier: The classifier.
        prepared: What it prepared for the set.
        batch: What a loader of the set gives.
    """
    batch = classifier.trainer.strategy.batch_to_device(as_batch(batch))
    question = classifier.task.question(batch)
    images = question.images
    if question.candidates is not None:
        prepared, _ = classifier.prepare(question.candidates)
    done: list[int] = []
    times: list[float] = []

    def count(evaluations: int) -> None:
        if images.device.type == "cuda":
            torch.cuda.synchronize(images.device)
        times.append(time.perf_counter())
        done.append(evaluations)
        if times[-1] - times[0] > SECONDS or len(times) > PASSES:
            raise _Timed

    before, classifier.on_evaluations = classifier.on_evaluations, count
    start = time.perf_counter()
    try:
        classifier.warm_up(images, prepared)
        start = time.perf_counter()
        classifier.answer(images, prepared, question.allowed)
    except _Timed:
        pass
    finally:
        classifier.on_evaluations = before
    if len(done) == 1:
        return done[0] / (times[0] - start)
    return sum(done[1:]) / (times[-1] - times[0])


def _memory(classifier: ImageClassifier) -> str:
    tensors = [*classifier.parameters(), *classifier.buffers()]
    weights = sum(tensor.nbytes for tensor in tensors) / 2**20
    device = classifier.device
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) / 2**20
        return f"Memory: {weights:.0f} MiB of weights, {peak:.0f} MiB at the peak on {device}."
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return f"Memory: {weights:.0f} MiB of weights, {peak:.0f} MiB at the peak of the process."


def _count(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
