"""New networks whose sizes follow from the images that they are to be trained on."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence

from diffusers import DDPMScheduler
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from diffclf_lightning.denoisers.class_conditional import (
    ClassConditionalDenoiser,
    DiTDenoiser,
    UNetDenoiser,
)
from diffclf_lightning.denoisers.scratch import dit, unet
from diffclf_lightning.errors import InputError

LARGEST = 64
"""Side of images that a small data set can be trained at in reasonable time."""
TOKENS = 16
"""Tokens along a side of an image, at most."""


class NewDenoiser(ABC):
    """A class-conditional denoiser of pixels that is made once the data is known.

    Args:
        size: Side of the images. Defaults to None: that of the data, at most 64.
        channels: 1 for grey images, 3 for RGB. Defaults to None: that of the data.
        scheduler: The noise schedule. Defaults to None: diffusers' ``DDPMScheduler`` with the
            squared cosine.

    Raises:
        InputError: If an argument is out of range.
    """

    predicts_variance = False
    calibration = None

    def __init__(
        self,
        size: int | None = None,
        channels: int | None = None,
        scheduler: SchedulerMixin | None = None,
    ) -> None:
        if size is not None and size < 4:
            raise InputError(f"Expected argument `size` to be at least 4, but got {size}.")
        if channels not in (None, 1, 3):
            raise InputError(
                f"Expected argument `channels` to be 1 (grey) or 3 (RGB), but got {channels}."
            )
        self.size, self.channels = size, channels
        self.scheduler = scheduler

    @property
    def needs_data(self) -> bool:
        """Whether sizes are missing that the data has to give."""
        return self.size is None or self.channels is None

    def make(
        self, shape: tuple[int, int] | None, classnames: Sequence[str]
    ) -> ClassConditionalDenoiser:
        """The denoiser.

        Args:
            shape: Channels and side of the images; None where both are given already.
            classnames: Class names in the order of labels.
        """
        channels, side = shape or (self.channels, self.size)
        side = self.size or min(int(side or 0), LARGEST)
        multiple = self.multiple(side)
        rounded = max(-(-side // multiple), 2) * multiple
        if self.size is not None and rounded != self.size:
            raise InputError(
                f"Expected argument `size` to be a multiple of {multiple}, and at least "
                f"{2 * multiple}, but got {self.size}."
            )
        if shape is not None and self.size is None and shape[1] > LARGEST:
            warnings.warn(
                f"Images of side {shape[1]} are trained at side {rounded}, which is faster. Give "
                "`denoiser.size` for another.",
                stacklevel=2,
            )
        scheduler = self.scheduler or DDPMScheduler(beta_schedule="squaredcos_cap_v2")
        return self.network(self.channels or int(channels or 0), rounded, scheduler, classnames)

    @abstractmethod
    def multiple(self, side: int) -> int:
        """What the side of the images has to be a multiple of, for images of about ``side``."""

    @abstractmethod
    def network(
        self, channels: int, side: int, scheduler: SchedulerMixin, classnames: Sequence[str]
    ) -> ClassConditionalDenoiser:
        """The denoiser of images of exactly these sizes."""


class NewDiT(NewDenoiser):
    """A new diffusion transformer (:func:`diffclf_lightning.denoisers.scratch.dit`).

    Args:
        size: See :class:`NewDenoiser`.
        channels: See :class:`NewDenoiser`.
        scheduler: See :class:`NewDenoiser`.
        num_layers: Number of transformer blocks.
        num_attention_heads: Heads of each block.
        attention_head_dim: Width of each head.
        patch_size: Side of a patch. Defaults to None: at least 2, and such that there are at most
            16 x 16 patches.
    """

    def __init__(
        self,
        size: int | None = None,
        channels: int | None = None,
        scheduler: SchedulerMixin | None = None,
        num_layers: int = 4,
        num_attention_heads: int = 4,
        attention_head_dim: int = 24,
        patch_size: int | None = None,
    ) -> None:
        super().__init__(size, channels, scheduler)
        self.num_layers, self.num_attention_heads = num_layers, num_attention_heads
        self.attention_head_dim, self.patch_size = attention_head_dim, patch_size

    def multiple(self, side: int) -> int:
        return self.patch_size or max(2, -(-side // TOKENS))

    def network(
        self, channels: int, side: int, scheduler: SchedulerMixin, classnames: Sequence[str]
    ) -> ClassConditionalDenoiser:
        model = dit(
            sample_size=side,
            in_channels=channels,
            num_classes=len(classnames),
            num_layers=self.num_layers,
            num_attention_heads=self.num_attention_heads,
            attention_head_dim=self.attention_head_dim,
            patch_size=self.multiple(side),
        )
        return DiTDenoiser(model, scheduler, id2label=dict(enumerate(classnames)))


class NewUNet(NewDenoiser):
    """A new U-Net (:func:`diffclf_lightning.denoisers.scratch.unet`).

    Args:
        size: See :class:`NewDenoiser`.
        channels: See :class:`NewDenoiser`.
        scheduler: See :class:`NewDenoiser`.
        block_out_channels: Channels of each level, multiples of 8. Defaults to None: two levels up
            to side 16, three above.
        layers_per_block: Layers of each level.
    """

    def __init__(
        self,
        size: int | None = None,
        channels: int | None = None,
        scheduler: SchedulerMixin | None = None,
        block_out_channels: Sequence[int] | None = None,
        layers_per_block: int = 1,
    ) -> None:
        super().__init__(size, channels, scheduler)
        self.block_out_channels, self.layers_per_block = block_out_channels, layers_per_block
        if any(count % 8 for count in block_out_channels or ()):
            raise InputError(
                "Expected argument `block_out_channels` to hold multiples of 8, but got "
                f"{block_out_channels}."
            )

    def _levels(self, side: int) -> Sequence[int]:
        return self.block_out_channels or ((32, 64) if side <= 16 else (32, 64, 96))

    def multiple(self, side: int) -> int:
        return int(2 ** (len(self._levels(side)) - 1))

    def network(
        self, channels: int, side: int, scheduler: SchedulerMixin, classnames: Sequence[str]
    ) -> ClassConditionalDenoiser:
        model = unet(
            sample_size=side,
            in_channels=channels,
            num_classes=len(classnames),
            block_out_channels=self._levels(side),
            layers_per_block=self.layers_per_block,
        )
        return UNetDenoiser(model, scheduler, id2label=dict(enumerate(classnames)))
