"""TorchvisionClassifier: any classifier of torchvision."""

from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn
from torchvision import models
from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

from diffclf_lightning.baselines.discriminative import DiscriminativeClassifier
from diffclf_lightning.baselines.logits import Preprocessing
from diffclf_lightning.errors import InputError
from diffclf_lightning.weight_files import check_weights


class TorchvisionClassifier(DiscriminativeClassifier):
    """A classifier of torchvision with published weights, and their own preprocessing.

    Args:
        weights: Name of the weights: ``ViT_B_16_Weights.IMAGENET1K_V1``.
        checkpoint_path: File with the same weights, where they cannot be fetched.
        pretrained: Whether to load weights; without, the network is new.
        **kwargs: ``optimizer``, ``lr_scheduler``, ``label_smoothing``, ``classes_by_position`` and
            ``task`` of :class:`DiscriminativeClassifier`.

    Raises:
        InputError: If torchvision has no such weights, or they cannot be had.
    """

    def __init__(
        self,
        weights: str,
        checkpoint_path: str | None = None,
        pretrained: bool = True,
        **kwargs: Any,
    ) -> None:
        entry = _entry(weights)
        network = _create(entry, weights, checkpoint_path, pretrained)
        preset = entry.transforms()
        (side,) = preset.crop_size
        resize = Resize(preset.resize_size, preset.interpolation, antialias=preset.antialias)
        # The preset as it is would normalise too.
        transform = Compose([resize, CenterCrop(side), PILToTensor()])
        preprocessing = Preprocessing(transform, (3, side, side), preset.mean, preset.std)
        super().__init__(
            network, preprocessing, weights, network_classes=entry.meta["categories"], **kwargs
        )

    def settled_arguments(self) -> dict[str, Any]:
        return {"checkpoint_path": None, "pretrained": False}


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


def _create(entry: Any, weights: str, checkpoint_path: str | None, pretrained: bool) -> nn.Module:
    if checkpoint_path and pretrained:
        check_weights(checkpoint_path, "checkpoint_path")
    name = type(entry).__name__.removesuffix("_Weights").lower()
    try:
        fetched = pretrained and not checkpoint_path
        network: Any = models.get_model(name, weights=entry if fetched else None)
        if checkpoint_path and pretrained:
            state = torch.load(checkpoint_path, map_location="cpu", weights_only=True)
            network.load_state_dict(state)
        if not fetched and hasattr(network, "transform_input"):
            network.transform_input = True  # as torchvision sets it with its weights
    except (OSError, RuntimeError, ValueError, UnpicklingError) as error:
        raise InputError(
            f"Expected {weights} at {checkpoint_path or entry.url}, but got "
            f"{type(error).__name__}: {str(error).splitlines()[0]}. Check the connection, or give "
            "the file as `checkpoint_path`."
        ) from error
    made: nn.Module = network
    return made
