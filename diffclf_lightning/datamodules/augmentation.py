"""Random changes of training images: a mirror image, a mild affine map."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils.data import default_collate

from diffclf_lightning.errors import InputError


@dataclass(frozen=True)
class Augmentation:
    """Changes batches of pixels at random, whatever size a model's transform has given them.

    Args:
        flip: Probability that an image is mirrored, left to right.
        share: Probability that a random affine map is applied to an image.
        degrees: Largest rotation, either way.
        scale: Largest change of scale, as a share.
        shear: Largest shear, as a tangent.
        shift: Largest shift, as a share of the side.
        padding: What fills in from outside: ``"border"`` the nearest pixel, ``"reflection"`` the
            mirrored image, ``"zeros"`` black.

    Raises:
        InputError: If an argument is out of range.
    """

    flip: float = 0.0
    share: float = 0.7
    degrees: float = 12.0
    scale: float = 0.1
    shear: float = 0.1
    shift: float = 1 / 16
    padding: Literal["border", "reflection", "zeros"] = "border"

    def __post_init__(self) -> None:
        limits = {"flip": 1, "share": 1, "degrees": 180, "scale": 0.9, "shear": 1, "shift": 1}
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise InputError(
                    f"Expected `{name}` of argument `augment` from 0 to {most}, but got "
                    f"{getattr(self, name)}."
                )

    def __call__(self, images: Tensor) -> Tensor:
        """Changed pixels.

        Args:
            images: Pixels, uint8, shape ``(batch, channels, height, width)``.

        Returns:
            Pixels, uint8, of the same shape.
        """
        if self.share:
            images = self._mapped(images)
        if self.flip:
            mirrored = torch.rand(len(images), 1, 1, 1) < self.flip
            images = torch.where(mirrored, images.flip(3), images)
        return images

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        """A batch of samples, its images changed."""
        batch: dict[str, Any] = default_collate(samples)
        return {**batch, "image": self(batch["image"])}

    def _mapped(self, images: Tensor) -> Tensor:
        batch, shift = len(images), 2 * self.shift  # coordinates run from -1 to 1
        spread = torch.tensor([self.degrees * torch.pi / 180, self.scale, self.shear, shift, shift])
        draws = (torch.rand(batch, 5) * 2 - 1) * spread
        chosen = torch.rand(batch, 1) < self.share
        angle, scale, shear, right, down = draws.unbind(dim=1)
        cos, sin, zoom = angle.cos(), angle.sin(), 1 + scale
        rows = [
            torch.stack([cos * zoom, (shear * cos - sin) * zoom, right], dim=1),
            torch.stack([sin * zoom, (shear * sin + cos) * zoom, down], dim=1),
        ]
        grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
        mapped = F.grid_sample(images.float(), grid, padding_mode=self.padding, align_corners=False)
        # Images that were not chosen stay exactly as they are.
        return torch.where(chosen[..., None, None], mapped.round().to(torch.uint8), images)
