"""DenoiserFeatures: what a block of a diffusion model makes of a noised image."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from fractions import Fraction
from typing import Any, Self

import torch
from torch import Tensor, nn

from diffclf_lightning.denoisers import Conditioning, Denoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import Noised, pixel_bytes
from diffclf_lightning.evaluation.trials import NoiseOfEachImage
from diffclf_lightning.weights import identity

STEPS = 1000
"""Timesteps are counted out of so many, whatever the schedule."""
BLOCK = re.compile(r"mid_block|\w*blocks\.\d+")
"""What the blocks of diffusers' networks are called."""


class _Reached(Exception):  # noqa: N818
    """Ends a forward pass behind the block that was asked for."""


class DenoiserFeatures:
    r"""The output of one block for :math:`x_t`, told nothing: frozen, and as it was loaded.

    "SD features" of Li et al. (ICCV 2023, Table 1) are those of the U-Net's middle block at
    ``timestep`` 100: 1280 channels of 8 x 8 for Stable Diffusion 2.0 at 512, where the paper writes
    8 x 8 x 1024, the width of its text. The noise of an image is drawn from the seed and from its
    pixels, so that its features are a function of these alone (and of the weights); batches change
    them by round-off. Nothing behind the block is computed. The model is no part of a module that
    has this: no precision plugin rounds it, no checkpoint holds it.

    Args:
        denoiser: The diffusion model.
        block: Name of a module of its network: ``up_blocks.1``, ``transformer_blocks.7``. Defaults
            to None: ``mid_block``, or the middle one of ``transformer_blocks``.
        timestep: How noised the image is, from 0 to 999; a schedule of other than 1,000 steps is
            asked for the same share of them.
        seed: Seed of the noise.

    Raises:
        InputError: If there is no such block, it gives no grid of features, the model cannot be
            told nothing, or a number is out of range.
    """

    def __init__(
        self, denoiser: Denoiser, block: str | None = None, timestep: int = 100, seed: int = 0
    ) -> None:
        if not 0 <= timestep < STEPS:
            raise InputError(
                f"Expected argument `timestep` from 0 to {STEPS - 1}, but got {timestep}."
            )
        if not 0 <= seed < 2**63:
            raise InputError(f"Expected argument `seed` from 0 to 2**63 - 1, but got {seed}.")
        self.denoiser, self.timestep, self.seed = denoiser.eval(), timestep, seed
        denoiser.requires_grad_(requires_grad=False)
        self.block = block or _middle(denoiser.network)
        self._module = _module(denoiser.network, self.block)
        self._time = Fraction(timestep, STEPS)
        self._nothing = _nothing_said(denoiser)
        black = self(torch.zeros(1, *denoiser.image_shape, dtype=torch.uint8))
        self.shape: tuple[int, int, int] = (black.shape[1], black.shape[2], black.shape[3])
        """Channels, height and width of the features."""
        self.dtype: torch.dtype = black.dtype
        self._identity = identity(denoiser)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Features in the type of the model's weights, shape ``(images, *shape)``.

        Args:
            images: uint8 or floating point in [0, 1], shape ``(images, *image_shape)`` of the
                denoiser, which comes to their device.
        """
        device = images.device
        if self.denoiser.device != device:
            self.denoiser.to(device)
        with torch.autocast(device.type, enabled=False):
            x_0 = self.denoiser.encode(images)
            count, shape = len(x_0), self.denoiser.sample_shape
            names = [pixel_bytes(image) for image in images]
            own = NoiseOfEachImage(self.seed, shape, names)
            noise = own.rows(torch.arange(count), torch.zeros(count, dtype=torch.int64))
            at = self.denoiser.at([self._time] * count).to(device)
            noised = Noised(x_0, noise.to(device), at)
            told = self._nothing.rows(torch.zeros(count, dtype=torch.int64, device=device))
            return self._grid(self._output(noised, told))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: nothing of it changes."""
        return self

    def describe(self) -> dict[str, Any]:
        """What decides the features beside the pixels, as plain values."""
        return {
            "denoiser": type(self.denoiser).__name__,
            **self._identity,
            **self.denoiser.schedule.describe(),
            "block": self.block,
            "timestep": self.timestep,
            "seed": self.seed,
            "shape": list(self.shape),
            "dtype": str(self.dtype).removeprefix("torch."),
            "transform": str(self.denoiser.transform),
        }

    def _output(self, noised: Noised, told: Mapping[str, Tensor]) -> Any:
        caught: list[Any] = []

        def catch(_: nn.Module, __: Any, output: Any) -> None:
            caught.append(output)
            raise _Reached

        hook = self._module.register_forward_hook(catch)
        try:
            self.denoiser(noised.x_t, noised.at.timestep, told)
        except _Reached:
            pass
        finally:
            hook.remove()
        if not caught:
            raise InputError(
                f"Expected argument `block` to be a module that a forward pass runs, but "
                f"{self.block!r} is not called. Name another: {_known(self.denoiser.network)}."
            )
        return caught[0]

    def _grid(self, output: Any) -> Tensor:
        """A block's output as a grid: tokens stand in rows, of several tensors the first counts."""
        if isinstance(output, tuple | list) and output:
            output = output[0]
        output = getattr(output, "sample", output)
        if isinstance(output, Tensor) and output.ndim == 4:
            return output
        if isinstance(output, Tensor) and output.ndim == 3:
            _, height, width = self.denoiser.sample_shape
            tokens = output.shape[1]
            rows = round((tokens * height / width) ** 0.5)
            if rows and tokens % rows == 0 and rows * width == tokens // rows * height:
                return output.mT.reshape(len(output), -1, rows, tokens // rows).contiguous()
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(
            f"Expected argument `block` to be a module that gives a grid of features, or as many "
            f"tokens, but {self.block!r} gives {shape}. Name another: "
            f"{_known(self.denoiser.network)}."
        )


def _middle(network: nn.Module) -> str:
    """Name of the middle block."""
    if getattr(network, "mid_block", None) is not None:
        return "mid_block"
    blocks: Any = getattr(network, "transformer_blocks", None)
    if blocks is None:
        raise InputError(
            f"Expected argument `block`, since {type(network).__name__} has neither a `mid_block` "
            f"nor `transformer_blocks`, but got none. Name one: {_known(network)}."
        )
    return f"transformer_blocks.{len(blocks) // 2}"


def _module(network: nn.Module, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(network.named_modules())
    if name not in modules or not name:
        close = get_close_matches(name, modules, n=3)
        nearest = f"The nearest: {', '.join(close)}." if close else f"It has {_known(network)}."
        raise InputError(
            f"Expected argument `block` to name a module of {type(network).__name__}, but got "
            f"{name!r}. {nearest}"
        )
    return modules[name]


def _known(network: nn.Module) -> str:
    """The blocks that a network has, at its first levels."""
    names = [name for name, _ in network.named_modules()]
    return ", ".join(name for name in names if BLOCK.fullmatch(name)) or "no blocks"


def _nothing_said(denoiser: Denoiser) -> Conditioning:
    """The empty prompt, or the null class, one row."""
    try:
        with torch.no_grad():
            return denoiser.unconditional()
    except InputError as error:
        raise InputError(
            "Expected a denoiser that was also trained without conditions, since features are "
            f"those of an image alone, but got {type(denoiser).__name__} without: {error}"
        ) from error
