"""TimmClassifier: any classifier of timm."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
from lightning.pytorch.utilities import rank_zero_warn
from timm.data import create_transform, resolve_model_data_config
from torch import nn

from diffclf_lightning.baselines.discriminative import DiscriminativeClassifier
from diffclf_lightning.baselines.logits import Preprocessing
from diffclf_lightning.classnames import imagenet_classes
from diffclf_lightning.errors import InputError
from diffclf_lightning.images import image_shape
from diffclf_lightning.paths import named
from diffclf_lightning.ranges import check_number
from diffclf_lightning.weight_files import check_weights

ARRAYS = (".npz", ".npy")
"""Files that timm reads with numpy, and so without objects."""
STRIDE, LARGEST = 32, 224
"""Pixels a step of a convolutional network's last stage; the largest side taken from data."""


class TimmClassifier(DiscriminativeClassifier):
    """A classifier of timm, with its own resizing, crop and normalisation.

    Args:
        model: Name in timm, with the tag of its weights: ``resnet50.tv_in1k``.
        pretrained: Whether to load the published weights; without, ``fit`` trains from scratch.
        checkpoint_path: File of weights to load in their place.
        num_classes: Number of classes. Defaults to None: that of the weights, or without
            weights that of the data.
        in_chans: Channels of the images. Defaults to None: the same.
        input_size: Side of the images. Defaults to None: the same; that of data up to 224, rounded
            up to a multiple of 32, unless the network takes one size alone.
        mean: Mean of each channel in [0, 1]. Defaults to None: that of the weights (for other
            channels than theirs, the mean of it).
        std: Standard deviation of each channel.
        model_args: Further arguments of :func:`timm.create_model`.
        **kwargs: further arguments of :class:`DiscriminativeClassifier`: ``optimizer``,
            ``lr_scheduler``, ``label_smoothing``, ``network_classes``, ``classes_by_position``,
            ``task``.

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
        checkpoint_path = checkpoint_path and named(checkpoint_path)
        sizes: dict[str, Any] = {
            "num_classes": num_classes,
            "in_chans": in_chans,
            "input_size": input_size,
        }
        fixed: dict[str, Any] = {"mean": mean, "std": std, "model_args": model_args}
        network, preprocessing = _make(model, pretrained, checkpoint_path, **fixed, **sizes)
        classes = kwargs.pop("network_classes", None) or _classes(network, pretrained)
        super().__init__(network, preprocessing, model, network_classes=classes, **kwargs)
        self._fixed, self._sizes = fixed, sizes
        scratch = not pretrained and checkpoint_path is None
        self._open = [name for name, size in sizes.items() if size is None] if scratch else []
        self._waits, self.untrained = False, scratch

    @property
    def awaits_checkpoint(self) -> bool:
        return self._waits

    def configure_model(self) -> None:
        """Make a network from scratch for the data of ``fit``, where its sizes are not given."""
        names = self._names_of_data if self._open and self.fitting else None
        if names is not None:
            self._take(self._sizes_of(getattr(self.trainer, "datamodule", None), len(names)))

    def setup(self, stage: str) -> None:
        """Make what is to be made, and settle the candidates."""
        self.configure_model()
        names = self._names_of_data
        if "num_classes" in self._open and names is not None:
            self._waits = len(names) != self._count_classes()
        if not self._waits:
            super().setup(stage)

    @property
    def _names_of_data(self) -> Sequence[str] | None:
        return getattr(getattr(self.trainer, "datamodule", None), "classnames", None)

    def _sizes_of(self, datamodule: Any, num_classes: int) -> dict[str, Any]:
        sizes = {**self._sizes, "num_classes": self._sizes["num_classes"] or num_classes}
        if self._sizes["in_chans"] and self._sizes["input_size"]:
            return sizes
        channels, side = image_shape(datamodule)
        sizes["in_chans"] = sizes["in_chans"] or channels
        network: Any = self.network
        if not network.default_cfg.get("fixed_input_size"):
            sizes["input_size"] = sizes["input_size"] or min(LARGEST, -(-side // STRIDE) * STRIDE)
        return sizes

    def _take(self, sizes: Mapping[str, Any]) -> None:
        """Make the network again, of other sizes."""
        self._sizes = dict(sizes)
        self.network, self.preprocessing = _make(
            self.name, False, None, **self._fixed, **self._sizes
        )
        self._open, self._waits = [], False

    def on_fit_end(self) -> None:
        """Remember that weights were trained."""
        self.untrained = False

    def on_test_start(self) -> None:
        """Say if nothing gave the network weights."""
        if self.untrained:
            rank_zero_warn(
                f"The weights of {self.name} are random: nothing was loaded or trained here. Give "
                "--ckpt_path, `checkpoint_path`, or pretrained=True."
            )
        super().on_test_start()

    def settled_arguments(self) -> dict[str, Any]:
        return {"pretrained": False, "checkpoint_path": None, **self._sizes}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the sizes that the checkpoint has."""
        self.untrained = False
        arguments = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {})
        if self._open and "num_classes" in arguments:
            self._take({name: arguments[name] for name in self._sizes})
        super().on_load_checkpoint(checkpoint)


def _make(
    model: str,
    pretrained: bool,
    checkpoint_path: str | None,
    *,
    num_classes: int | None,
    in_chans: int | None,
    input_size: int | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    model_args: Mapping[str, Any] | None,
) -> tuple[nn.Module, Preprocessing]:
    """The network and its preprocessing, by the arguments of :class:`TimmClassifier`."""
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
    return network, Preprocessing(transform, config["input_size"], config["mean"], config["std"])


def _classes(network: Any, pretrained: bool) -> Sequence[str] | None:
    """Names of the classes of published weights."""
    if not pretrained:
        return None
    if names := network.pretrained_cfg.get("label_names"):
        return list(names)
    imagenet = [name for _, name in imagenet_classes()]
    return imagenet if network.num_classes == len(imagenet) else None


def _of_channels(
    name: str, given: Sequence[float] | None, own: Sequence[float], channels: int
) -> Sequence[float]:
    """One value a channel: the given ones, or those of the weights, or the mean of these."""
    if given is not None and len(given) != channels:
        raise InputError(
            f"Expected argument `{name}` to have {channels} values, one a channel, but got "
            f"{list(given)}."
        )
    for value in given or ():
        check_number(name, value, **({"above": 0.0} if name == "std" else {}))
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
    if checkpoint_path is not None and Path(checkpoint_path).suffix not in ARRAYS:
        check_weights(checkpoint_path, "checkpoint_path")
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
    except (OSError, RuntimeError, ValueError) as error:
        where = "on the hub" if checkpoint_path is None else f"in {checkpoint_path!r}"
        raise InputError(
            f"Expected weights of {model!r} {where}, but got {type(error).__name__}: "
            f"{str(error).splitlines()[0]}. Check the connection, give `checkpoint_path` (with the "
            "`model_args` that the weights were trained with), or pretrained=False to train from "
            "scratch."
        ) from error
    return network
