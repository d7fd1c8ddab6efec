"""Trials: the ordered (timestep, noise) pairs that every candidate of an image meets.

Trial ``j`` is ``(t_j, epsilon_j)``; noise ``j`` belongs to the ``j``-th timestep in evaluation
order. Everything here is a pure function of the seed, and of the image's content where every
image has noise of its own: never of the batch, the device or the rank.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from diffclf_lightning.evaluation.grids import Grid


@dataclass(frozen=True)
class Noise:
    """A bank of standard normal noise.

    Args:
        seed: Seed of the bank.
        per_image: Whether every image has a bank of its own (drawn from the seed and the image's
            content) instead of sharing one. All candidates of an image share it in either case.
    """

    seed: int = 0
    per_image: bool = False

    def draw(self, count: int, shape: Sequence[int], content: bytes = b"") -> Tensor:
        """Noise of the first ``count`` trials.

        Args:
            count: Number of trials.
            shape: Shape of one sample, without a batch dimension.
            content: What names the image, where every image has its own noise.

        Returns:
            Noise, float32 on the CPU, shape ``(count, *shape)``. The first rows do not depend on
            ``count``.
        """
        seed = self.seed
        if self.per_image:
            digest = hashlib.sha256(seed.to_bytes(8, "big", signed=True) + content).digest()
            seed = int.from_bytes(digest[:8], "big", signed=True)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.empty((count, *shape), dtype=torch.float32)
        for row in noise:
            torch.randn(tuple(shape), generator=generator, out=row)
        return noise


@dataclass(frozen=True)
class Trials:
    """Timesteps and noise of a batch of images, cut into blocks.

    Args:
        timesteps: Timesteps in evaluation order, int64, shape ``(trials,)``.
        noise: Noise, float32, shape ``(trials, *sample)`` when all images share it or
            ``(images, trials, *sample)``.
        ends: Number of trials done after each block.
        per_image: Whether the noise has a leading image dimension.
    """

    timesteps: Tensor
    noise: Tensor
    ends: tuple[int, ...]
    per_image: bool = False

    def __len__(self) -> int:
        return len(self.timesteps)

    @property
    def blocks(self) -> list[range]:
        """Range of trial indices of every block."""
        return [range(a, b) for a, b in pairwise((0, *self.ends))]

    def of(self, image: Tensor, trial: Tensor) -> tuple[Tensor, Tensor]:
        """Timestep and noise of (image, trial) index pairs.

        Args:
            image: Image indices, shape ``(batch,)``.
            trial: Trial indices, shape ``(batch,)``.

        Returns:
            Timesteps, shape ``(batch,)``, and noise, shape ``(batch, *sample)``.
        """
        noise = self.noise[image, trial] if self.per_image else self.noise[trial]
        return self.timesteps[trial], noise


class TrialSource:
    """Makes the trials of any batch: one grid, one bank of noise.

    Args:
        grid: Hands timesteps out to blocks.
        noise: The bank of noise.
        counts: Cumulative number of trials asked for after each block.
        num_train_timesteps: Number of timesteps that the model was trained with.
        sample_shape: Shape of one ``x_0``.
    """

    def __init__(
        self,
        grid: Grid,
        noise: Noise,
        counts: Sequence[int],
        num_train_timesteps: int,
        sample_shape: Sequence[int],
    ) -> None:
        blocks = grid.blocks(counts, num_train_timesteps)
        self.ends = tuple(accumulate(len(block) for block in blocks))
        self.timesteps = torch.tensor([t for block in blocks for t in block], dtype=torch.int64)
        self.noise = noise
        self.sample_shape = tuple(sample_shape)
        self._shared: Tensor | None = None

    def __call__(self, images: Tensor) -> Trials:
        """Trials of a batch of images.

        Args:
            images: The images as they came, shape ``(images, channels, height, width)``; their
                bytes name them where every image has its own noise.

        Returns:
            Trials on the device of the images.
        """
        device = images.device
        if self.noise.per_image:
            count, shape = len(self.timesteps), self.sample_shape
            banks = [self.noise.draw(count, shape, pixel_bytes(image)) for image in images]
            noise = torch.stack(banks).to(device)
        else:
            if self._shared is None or self._shared.device != device:
                self._shared = self.noise.draw(len(self.timesteps), self.sample_shape).to(device)
            noise = self._shared
        return Trials(self.timesteps.to(device), noise, self.ends, self.noise.per_image)


def pixel_bytes(image: Tensor) -> bytes:
    """Bytes of an image as 8-bit pixels, the same for its float and its integer copy.

    Args:
        image: uint8, or floating point in [0, 1].

    Returns:
        The bytes.
    """
    pixels = image if image.dtype == torch.uint8 else (image.float() * 255).round().to(torch.uint8)
    return pixels.cpu().numpy().tobytes()
