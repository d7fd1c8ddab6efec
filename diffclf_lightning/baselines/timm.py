"""TimmClassifier: any classifier of timm."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
from timm.data import create_transform, resolve_model_data_config
from torch import nn

from diffclf_lightning.baselines.discriminative import DiscriminativeClassifier, Preprocessing
from diffclf_lightning.errors import InputError


class TimmClassifier(DiscriminativeClassifier):
    """A classifier of timm, with its own resizing, crop and normalisation.

    Args:
        model: Name in timm, with the tag of its weights: ``resnet50.tv_in1k``.
        pretrained: Whether to load the published weights; without, ``fit`` trains from scratch.
        checkpoint_path: File of weights to load in their place.
        num_classes: Number of classes. Defaults to None: that of the weights.
        in_chans: Channels of the images. Defaults to None: that of the weights.
        input_size: Side of the images. Defaults to None: that of the weights.
        mean: Mean of each channel in [0, 1]. Defaults to None: that of the weights (for other
            channels than theirs, the mean of it).
        std: Standard deviation of each channel.
        model_args: Further arguments of :func:`timm.create_model`.
        **kwargs: ``optimizer``, ``lr_scheduler`` and ``label_smoothing`` of
            :class:`DiscriminativeClassifier`.

    Raises:
        InputError: If timm has no such model, or its weights cannot be had.
    """

    def __init__(
        self,
        model: str,
        pretrained: bool = True,
        checkpoint_path: str | None = None,
        num_classes: int | None = None,
        in_chans: int | None = None,
        input_size: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        model_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        given = {"num_classes": num_classes, "in_chans": in_chans, **(model_args or {})}
        arguments = {name: value for name, value in given.items() if value is not None}
        network = _create(model, pretrained, checkpoint_path, arguments)
        config = resolve_model_data_config(network)
        channels, *sides = config["input_size"]
        sides = sides if input_size is None else [input_size, input_size]
        config["input_size"] = (in_chans or channels, *sides)
        for name, values in (("mean", mean), ("std", std)):
            config[name] = _of_channels(name, values, config[name], config["input_size"][0])
        transform = create_transform(**config, normalize=False)
        preprocessing = Preprocessing(
            transform, config["input_size"], config["mean"], config["std"]
        )
        super().__init__(network, preprocessing, model, **kwargs)


def _of_channels(
    name: str, given: Sequence[float] | None, own: Sequence[float], channels: int
) -> Sequence[float]:
    """One value a channel: the given ones, or those of the weights, or the mean of these."""
    if given is not None and len(given) != channels:
        raise InputError(
            f"Expected argument `{name}` to have {channels} values, one a channel, but got "
            f"{list(given)}."
        )
    if given is not None:
        return tuple(given)
    return tuple(own) if len(own) == channels else (sum(own) / len(own),) * channels


def _create(
    model: str, pretrained: bool, checkpoint_path: str | None, arguments: Mapping[str, Any]
) -> nn.Module:
    architecture, _, tag = model.partition(".")
    if not timm.is_model(architecture):
        close = ", ".join(get_close_matches(architecture, timm.list_models())) or "none"
        raise InputError(
            f"Expected argument `model` to be a name that timm {timm.__version__} knows, but got "
            f"{model!r}. Names that are close: {close}."
        )
    known = timm.list_pretrained(f"{architecture}.*")
    if tag and model not in known:
        raise InputError(
            f"Expected the weights of {architecture!r} to be one of {', '.join(known) or 'none'}, "
            f"but got {model!r}."
        )
    if checkpoint_path is not None and not Path(checkpoint_path).is_file():
        raise InputError(
            f"Expected argument `checkpoint_path` to be a file of weights, but got "
            f"{checkpoint_path!r}, which is none."
        )
    try:
        network: nn.Module = timm.create_model(
            model,
            pretrained=pretrained and checkpoint_path is None,
            checkpoint_path=checkpoint_path or "",
            **arguments,
        )
    except (TypeError, AssertionError) as error:
        raise InputError(
            f"Expected arguments that {model} takes in `model_args`, but got "
            f"{type(error).__name__}: {error}."
        ) from error
    except (OSError, RuntimeError) as error:
        where = "on the hub" if checkpoint_path is None else f"in {checkpoint_path!r}"
        raise InputError(
            f"Expected weights of {model!r} {where}, but got {type(error).__name__}: "
            f"{str(error).splitlines()[0]}. Check the connection, give `checkpoint_path` (with the "
            "`model_args` that the weights were trained with), or pretrained=False to train from "
            "scratch."
        ) from error
    return network
