"""TorchvisionClassifier: any classifier of torchvision."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from PIL.Image import Image
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms import functional

from diffclf_lightning.baselines.discriminative import DiscriminativeClassifier, Preprocessing
from diffclf_lightning.errors import InputError


class ResizeAndCrop:
    """The resizing and the crop of torchvision's presets, less their normalisation.

    Args:
        preset: What ``weights.transforms()`` gives.
    """

    def __init__(self, preset: Any) -> None:
        self.preset = preset

    def __repr__(self) -> str:
        preset = self.preset
        return f"resize {preset.resize_size} {preset.interpolation.value} crop {preset.crop_size}"

    def __call__(self, image: Image) -> Tensor:
        """Pixels, uint8, shape ``(channels, height, width)``."""
        preset = self.preset
        resized = functional.resize(
            image,
            preset.resize_size,
            interpolation=preset.interpolation,
            antialias=preset.antialias,
        )
        cropped = functional.center_crop(resized, preset.crop_size)
        pixels: Tensor = functional.pil_to_tensor(cropped)
        return pixels


class TorchvisionClassifier(DiscriminativeClassifier):
    """A classifier of torchvision with published weights, and their own preprocessing.

    Args:
        weights: Name of the weights: ``ViT_B_16_Weights.IMAGENET1K_V1``.
        checkpoint_path: File with the same weights, where they cannot be fetched.
        optimizer: Makes the optimizer from the parameters; AdamW with learning rate 1e-3, and no
            scheduler, when not given.
        lr_scheduler: Makes the learning-rate scheduler from the optimizer; stepped every step.
        label_smoothing: Share of the target that is spread over all classes in training.

    Raises:
        InputError: If torchvision has no such weights, or they cannot be had.
    """

    def __init__(
        self,
        weights: str,
        checkpoint_path: str | None = None,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        entry = _entry(weights)
        network = _create(entry, weights, checkpoint_path)
        preset = entry.transforms()
        (side,) = preset.crop_size
        preprocessing = Preprocessing(
            ResizeAndCrop(preset), (3, side, side), preset.mean, preset.std
        )
        super().__init__(network, preprocessing, weights, optimizer, lr_scheduler, label_smoothing)


def _entry(weights: str) -> Any:
    try:
        entry = models.get_weight(weights)
        entry.transforms().crop_size  # noqa: B018
    except (ValueError, AttributeError, KeyError) as error:
        raise InputError(
            f"Expected argument `weights` to name weights of a classifier in torchvision, as "
            f"ViT_B_16_Weights.IMAGENET1K_V1 does, but got {weights!r}."
        ) from error
    return entry


def _create(entry: Any, weights: str, checkpoint_path: str | None) -> nn.Module:
    name = type(entry).__name__.removesuffix("_Weights").lower()
    if checkpoint_path is not None and not Path(checkpoint_path).is_file():
        raise InputError(
            f"Expected argument `checkpoint_path` to be a file of weights, but got "
            f"{checkpoint_path!r}, which is none."
        )
    try:
        network: Any = models.get_model(name, weights=None if checkpoint_path else entry)
        if checkpoint_path:
            state = torch.load(checkpoint_path, map_location="cpu", weights_only=True)
            network.load_state_dict(state)
            if hasattr(network, "transform_input"):  # as torchvision sets it with its weights
                network.transform_input = True
    except (OSError, RuntimeError, ValueError, UnpicklingError) as error:
        raise InputError(
            f"Expected {weights} at {checkpoint_path or entry.url}, but got "
            f"{type(error).__name__}: {str(error).splitlines()[0]}. Check the connection, or give "
            "the file as `checkpoint_path`."
        ) from error
    made: nn.Module = network
    return made
