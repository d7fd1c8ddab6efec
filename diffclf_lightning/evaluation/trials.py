"""Trials: the ordered (time, noise) pairs that every candidate of an image meets.

Everything here is a pure function of the seed, and of the image's content where every image has
noise of its own: never of the batch, the device or the rank. Noise is drawn when it is asked for.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation.grids import TimeGrid
from diffclf_lightning.ranges import check_whole


class NoiseSource(ABC):
    """Standard normal noise of some images, all float32."""

    on_host: bool
    """Whether :meth:`rows` takes indices on the CPU."""

    @abstractmethod
    def reserve(self, trials: int) -> None:
        """Make ready for the first so many trials."""

    @abstractmethod
    def rows(self, image: Tensor, trial: Tensor) -> Tensor:
        """Noise of (image, trial) index pairs.

        Args:
            image: Image indices, shape ``(batch,)``.
            trial: Trial indices, shape ``(batch,)``.

        Returns:
            Noise, shape ``(batch, *sample)``.
        """


class SharedNoise(NoiseSource):
    """One bank for all images: noise ``j`` is the ``j``-th draw of one generator.

    Args:
        seed: Seed of the bank. Seed 42 is the bank of the published DiT evaluations.
        shape: Shape of one sample.
        device: Where the bank is kept.
    """

    on_host = False

    def __init__(self, seed: int, shape: Sequence[int], device: torch.device) -> None:
        self.shape, self.device = tuple(shape), device
        self._generator = torch.Generator().manual_seed(seed)
        self._bank = torch.empty((0, *self.shape), dtype=torch.float32, device=device)

    def reserve(self, trials: int) -> None:
        missing = trials - len(self._bank)
        if missing <= 0:
            return
        drawn = torch.empty((missing, *self.shape), dtype=torch.float32)
        for row in drawn:
            torch.randn(self.shape, generator=self._generator, out=row)
        self._bank = torch.cat([self._bank, drawn.to(self.device)])

    def rows(self, image: Tensor, trial: Tensor) -> Tensor:
        return self._bank[trial]


class NoiseOfEachImage(NoiseSource):
    """Noise of each image's own: trial ``j`` is drawn from the seed, the image's name and ``j``.

    Args:
        seed: Seed.
        shape: Shape of one sample.
        names: What names each image.
    """

    on_host = True

    def __init__(self, seed: int, shape: Sequence[int], names: Sequence[bytes]) -> None:
        self.seed, self.shape, self.names = seed, tuple(shape), names
        self._drawn: dict[tuple[int, int], Tensor] = {}

    def reserve(self, trials: int) -> None:
        """See :meth:`NoiseSource.reserve`."""

    def rows(self, image: Tensor, trial: Tensor) -> Tensor:
        pairs = list(zip(image.tolist(), trial.tolist(), strict=True))
        images = set(image.tolist())
        # The work of a round goes image by image: what is drawn of others is not needed again.
        self._drawn = {pair: noise for pair, noise in self._drawn.items() if pair[0] in images}
        for pair in pairs:
            if pair not in self._drawn:
                self._drawn[pair] = self._draw(*pair)
        return torch.stack([self._drawn[pair] for pair in pairs])

    def _draw(self, image: int, trial: int) -> Tensor:
        named = self.seed.to_bytes(8, "big", signed=True) + trial.to_bytes(8, "big")
        digest = hashlib.sha256(named + self.names[image]).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
        return torch.randn(self.shape, generator=generator, dtype=torch.float32)


@dataclass(frozen=True)
class NoiseBank:
    """Where the noise of trials comes from.

    Args:
        seed: Seed of the noise.
        per_image: Whether every image has noise of its own instead of sharing one bank. All
            candidates of an image share it in either case.
    """

    seed: int = 0
    per_image: bool = False

    def __post_init__(self) -> None:
        check_whole("seed", self.seed)
        if not 0 <= self.seed < 2**63:
            raise InputError(f"Expected argument `seed` from 0 to 2**63 - 1, but got {self.seed}.")


@dataclass(frozen=True)
class Trials:
    """Times and noise of a batch of images.

    Args:
        times: Times in evaluation order, in [0, 1).
        noise: The noise of each trial.
    """

    times: Sequence[Fraction]
    noise: NoiseSource

    def __len__(self) -> int:
        return len(self.times)


class TrialSource:
    """Makes the trials of any batch: one grid, one bank of noise.

    Args:
        grid: Orders the times.
        bank: The noise.
        stages: Cumulative number of trials asked for after each stage.
        sample_shape: Shape of one ``x_0``.
    """

    def __init__(
        self, grid: TimeGrid, bank: NoiseBank, stages: Sequence[int], sample_shape: Sequence[int]
    ) -> None:
        self.times, self.ends = grid.order(stages)
        self.bank, self.sample_shape = bank, tuple(sample_shape)
        self._shared: SharedNoise | None = None

    def __call__(self, images: Tensor, sizes: Sequence[int] | None = None) -> Trials:
        """Trials of a batch of images.

        Args:
            images: The images as they came, shape ``(images, channels, height, width)``; their
                bytes name them where every image has its own noise.
            sizes: Numbers of consecutive images that share their noise. Defaults to None: each has
                its own.

        Returns:
            Trials on the device of the images.
        """
        seed, shape = self.bank.seed, self.sample_shape
        if self.bank.per_image:
            together = images.split(list(sizes or [1] * len(images)))
            names = [b"".join(map(pixel_bytes, some)) for some in together for _ in some]
            return Trials(self.times, NoiseOfEachImage(seed, shape, names))
        if self._shared is None or self._shared.device != images.device:
            self._shared = SharedNoise(seed, shape, images.device)
        return Trials(self.times, self._shared)


def pixel_bytes(image: Tensor) -> bytes:
    """Bytes of an image as 8-bit pixels, the same for its float and its integer copy.

    Args:
        image: uint8, or floating point in [0, 1].

    Returns:
        The bytes.
    """
    pixels = image if image.dtype == torch.uint8 else (image.float() * 255).round().to(torch.uint8)
    return pixels.cpu().numpy().tobytes()
