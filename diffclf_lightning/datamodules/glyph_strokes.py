"""Random changes of the shape of glyphs: an affine map, a smooth bend, the weight of strokes."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from diffclf_lightning.errors import InputError


def signed_distances(glyphs: NDArray[np.uint8], detail: int) -> NDArray[np.float32]:
    """Distance of every pixel to the outline, inside the strokes positive.

    Args:
        glyphs: Grey levels, shape ``(glyphs, side, side)``; ink is at least 128.
        detail: Pixels of a glyph along one of an image.

    Returns:
        Distances in pixels of an image, of the same shape.
    """
    outlines = []
    for glyph in glyphs:
        ink = glyph >= 128
        inside, outside = ndimage.distance_transform_edt(ink), ndimage.distance_transform_edt(~ink)
        outlines.append(np.where(ink, inside - 0.5, 0.5 - outside) / detail)
    return np.stack(outlines).astype(np.float32)


@dataclass(frozen=True)
class Strokes:
    """Draws glyphs anew from the distances to their outlines, each changed at random.

    All draws are uniform, either way of zero, but the bend, which is normal.

    Args:
        degrees: Largest rotation.
        scale: Largest change of width and of height, as a share, each its own.
        slant: Largest slant, as a tangent.
        shift: Largest shift, in pixels of an image.
        bend: Standard deviation of the displacement at each of 4x4 places, in pixels of an image;
            it is interpolated between them.
        weight: Largest distance by which the outline moves outwards or inwards, in pixels of an
            image.

    Raises:
        InputError: If an argument is out of range.
    """

    degrees: float = 8.0
    scale: float = 0.15
    slant: float = 0.2
    shift: float = 1.0
    bend: float = 0.35
    weight: float = 0.25

    def __post_init__(self) -> None:
        limits = {"degrees": 180, "scale": 0.9, "slant": 1, "shift": 8, "bend": 8, "weight": 8}
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise InputError(
                    f"Expected `{name}` of argument `strokes` from 0 to {most}, but got "
                    f"{getattr(self, name)}."
                )

    def __call__(self, outlines: Tensor, side: int) -> Tensor:
        """Images of changed glyphs.

        Args:
            outlines: Signed distances in pixels of an image, shape ``(batch, detail * side,
                detail * side)``.
            side: Side of the images.

        Returns:
            Pixels, uint8, shape ``(batch, 1, side, side)``.
        """
        fine = 2 * side
        distance = F.grid_sample(
            outlines[:, None],
            self._grid(len(outlines), side),
            padding_mode="border",
            align_corners=False,
        )
        weight = self._draw(len(outlines), 1, 1, 1) * self.weight
        coverage = (0.5 + (distance + weight) * (fine / side)).clamp(0, 1)
        return (F.avg_pool2d(coverage, 2) * 255).round().to(torch.uint8)

    def _grid(self, batch: int, side: int) -> Tensor:
        unit = 2 / side  # coordinates run from -1 to 1
        angle = self._draw(batch) * self.degrees * torch.pi / 180
        wide, high = (1 + self._draw(batch) * self.scale for _ in range(2))
        slant = self._draw(batch) * self.slant
        right, down = (self._draw(batch) * self.shift * unit for _ in range(2))
        cos, sin = angle.cos(), angle.sin()
        rows = [
            torch.stack([cos * wide, (slant * cos - sin) * wide, right], dim=1),
            torch.stack([sin * high, (slant * sin + cos) * high, down], dim=1),
        ]
        shape = [batch, 1, 2 * side, 2 * side]
        grid = F.affine_grid(torch.stack(rows, dim=1), shape, align_corners=False)
        places = torch.randn(batch, 2, 4, 4) * self.bend * unit
        bend = F.interpolate(places, size=shape[2:], mode="bilinear", align_corners=True)
        return grid + bend.permute(0, 2, 3, 1)

    @staticmethod
    def _draw(*shape: int) -> Tensor:
        return torch.rand(*shape) * 2 - 1
