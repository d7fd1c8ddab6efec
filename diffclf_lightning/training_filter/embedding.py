"""What the filter sees of an image: its own size, and its embedding by a model of open_clip."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import normalize

from diffclf_lightning.errors import InputError
from diffclf_lightning.extras import needed


class Embedder(Protocol):
    """Makes embeddings of images."""

    transform: Callable[[Image], Tensor]
    """From a PIL image to the pixels of :meth:`embed`."""

    def embed(self, pixels: Tensor) -> Tensor:
        """Embeddings of length 1, float32, shape ``(images, dimensions)``."""
        ...


class OpenClipEmbedder:
    """Image embeddings of a model of open_clip, of length 1.

    Args:
        model: Name of the model in open_clip.
        pretrained: Name of its weights there, or a file of them.
        device: Where it runs.

    Raises:
        InputError: If open_clip is not installed, or the model cannot be had.
    """

    def __init__(self, model: str, pretrained: str, device: torch.device) -> None:
        open_clip = needed("open_clip", "clip")
        try:
            made = open_clip.create_model_and_transforms(
                model,
                pretrained,
                require_pretrained=True,
                force_quick_gelu=_quick(model, pretrained),
            )
        except (OSError, RuntimeError, ValueError, LookupError, AssertionError) as error:
            said = (str(error).splitlines() or [""])[0]
            raise InputError(
                f"Expected --model and --pretrained to name a model of open_clip and its weights, "
                f"but got {model!r} and {pretrained!r} ({type(error).__name__}: {said}). Check the "
                "names and the connection, or give a file as --pretrained."
            ) from error
        network, _, self.transform = made
        self.network, self.device = network.eval().requires_grad_(False).to(device), device

    @torch.inference_mode()
    def embed(self, pixels: Tensor) -> Tensor:
        """See :meth:`Embedder.embed`."""
        return normalize(self.network.encode_image(pixels.to(self.device)).float(), dim=-1).cpu()


class SizeAndPixels:
    """A transform that keeps the size that an image has before it is changed.

    Args:
        transform: From an image to pixels. Defaults to None: pixels are not needed.
    """

    def __init__(self, transform: Callable[[Image], Tensor] | None = None) -> None:
        self.transform = transform

    def __call__(self, image: Image) -> dict[str, Any]:
        """The short side in pixels, and the pixels."""
        seen: dict[str, Any] = {"short_side": min(image.size)}
        if self.transform is not None:
            seen["pixels"] = self.transform(image)
        return seen


def _quick(model: str, pretrained: str) -> bool:
    """Whether weights were trained with another activation than the model's name has."""
    found = needed("open_clip", "clip").get_pretrained_cfg(model, pretrained)
    return bool(found and found.get("quick_gelu"))
