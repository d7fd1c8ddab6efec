"""Thumbnails: small pictures of what the model saw, stored beside the rows of a run."""

import io
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from diffclf_lightning.answers import Predictions, as_batch
from diffclf_lightning.callbacks.beside import beside_results
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluated_set import EvaluatedSet

SIDE = 96
"""Longest side of a thumbnail, in pixels."""
EXACT = 64
"""Images up to this side are stored as they are, without loss."""
COLUMN = pa.field("thumbnail", pa.binary())
"""WebP; null where there is none."""


@dataclass
class Thumbnails:
    """Chooses the samples of each set that get a thumbnail, and makes it.

    They are spread evenly over a set whose length is known, and else its first ones.

    Args:
        most: Number of thumbnails of a set on one rank, at most.
    """

    most: int
    _seen: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.most < 0:
            raise InputError(
                f"Expected argument `thumbnails` of at least 0, but got {self.most}. 0 stores none."
            )

    def column(
        self, batch: Any, predictions: Predictions, current: EvaluatedSet
    ) -> list[bytes | None]:
        """Thumbnails of the samples of some predictions, None where there is none.

        Args:
            batch: What the loader gave.
            predictions: What became of it.
            current: Its set.
        """
        image = as_batch(batch).get("image")
        step = -(-(current.num_images or 1) // max(self.most, 1))
        column: list[bytes | None] = []
        for row in predictions.rows:
            place = self._seen.get(current.name, 0)
            self._seen[current.name] = place + 1
            wanted = place % step == 0 and place // step < self.most
            picture = None
            if wanted and isinstance(image, Tensor):
                with beside_results(f"Making a thumbnail of {current.name!r}", None, ""):
                    picture = encoded(image[row])
            column.append(picture)
        return column


def encoded(image: Tensor) -> bytes | None:
    """An image as a small WebP file.

    Args:
        image: uint8, or floating point in [0, 1], shape ``(channels, height, width)``.

    Returns:
        The file; None where it is not a picture of one or three channels.
    """
    from PIL import Image

    if image.ndim != 3 or len(image) not in (1, 3):
        return None
    unit = image.float() / (255 if image.dtype == torch.uint8 else 1)
    pixels = (unit.nan_to_num(0).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(pixels[..., 0] if len(image) == 1 else pixels).convert("RGB")
    exact = max(picture.size) <= EXACT
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "WEBP", lossless=exact, quality=85)
    return file.getvalue()
