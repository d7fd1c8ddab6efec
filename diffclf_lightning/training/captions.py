"""CaptionTraining: a text-to-image denoiser trained on images with captions."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from diffclf_lightning.denoisers import Denoiser, PixArt
from diffclf_lightning.errors import InputError
from diffclf_lightning.optimization import make_optimizers
from diffclf_lightning.ranks import draw_apart
from diffclf_lightning.training.loss import denoising_loss, with_noise
from diffclf_lightning.training.times import TimeRange, TimeSampler


class CaptionTraining(LightningModule):
    """Trains a denoiser with the denoising loss on images, each told by its caption.

    Takes batches with ``image``, as :meth:`Denoiser.encode` does, and ``caption``. With ``window``
    the network sees one window of each image, at its place in the image, and the caption of the
    whole: the loss is the same, for a part of the cost. Batches then have ``windows``, row and
    column of some corners in each, of which one is drawn, of shape ``(batch, corners, 2)``.

    Args:
        denoiser: The diffusion model, a :class:`PixArt` with windows.
        window: Side of a window in pixels. Defaults to None: the whole image.
        times: Draws the times. Defaults to None: evenly spread over [0, 1).
        caption_dropout: Share of the captions replaced by the empty one.
        optimizer: Makes the optimizer from the parameters. Defaults to None: AdamW with learning
            rate 1e-4, and no scheduler.
        lr_scheduler: Makes the learning-rate scheduler from the optimizer; stepped every step.

    Raises:
        InputError: If the denoiser cannot see windows, or an argument is out of range.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        window: int | None = None,
        times: TimeSampler | None = None,
        caption_dropout: float = 0.1,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        if window is not None and not (isinstance(denoiser, PixArt) and denoiser.vae is None):
            raise InputError(
                "Expected no argument `window`, since only a PixArt of pixels can be shown "
                f"windows, but got {window}. Leave it out."
            )
        if not 0 <= caption_dropout < 1:
            raise InputError(
                f"Expected argument `caption_dropout` in [0, 1), but got {caption_dropout}."
            )
        self.denoiser, self.window = denoiser, window
        self.times = times or TimeRange()
        self.caption_dropout = caption_dropout
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler

    def on_fit_start(self) -> None:
        """Draw noise and captions of this rank's own."""
        draw_apart(self.global_rank)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Denoising loss of a batch."""
        x_0 = self.denoiser.encode(batch["image"])
        times = self.times(len(x_0), self.global_step)
        conditioning = self.denoiser.condition(batch["caption"])
        if self.caption_dropout:
            drop = torch.rand(len(x_0)) < self.caption_dropout
            conditioning = conditioning.replaced(drop.to(x_0.device), self.denoiser.unconditional())
        seen, where = self._seen(x_0, batch)
        noised = with_noise(self.denoiser, seen, times)
        with where:
            loss = denoising_loss(self.denoiser, noised, conditioning)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(x_0))
        return loss

    def _seen(self, x_0: Tensor, batch: Any) -> tuple[Tensor, AbstractContextManager[None]]:
        """What the network sees of samples, and the context in which it does."""
        if self.window is None or not isinstance(self.denoiser, PixArt):
            return x_0, nullcontext()
        corners = batch["windows"]
        chosen = torch.randint(corners.shape[1], (len(x_0),), device=corners.device)
        corners = corners[torch.arange(len(x_0), device=corners.device), chosen]
        return windows_of(x_0, corners, self.window), self.denoiser.windows(corners)

    def configure_optimizers(self) -> Any:
        """Optimizer of the trainable parameters, and the scheduler, stepped every step."""
        return make_optimizers(self, self.optimizer, self.lr_scheduler, lr=1e-4)


def windows_of(images: Tensor, corners: Tensor, side: int) -> Tensor:
    """A window of each image.

    Args:
        images: Images, shape ``(batch, channels, height, width)``.
        corners: Row and column of each window's upper left pixel, shape ``(batch, 2)``.
        side: Side of the windows.

    Returns:
        Windows, shape ``(batch, channels, side, side)``.
    """
    within = torch.arange(side, device=images.device)
    rows = (corners[:, :1] + within)[:, None, :, None]
    columns = (corners[:, 1:] + within)[:, None, None, :]
    batch = torch.arange(len(images), device=images.device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=images.device)[:, None, None]
    return images[batch, channels, rows, columns]
