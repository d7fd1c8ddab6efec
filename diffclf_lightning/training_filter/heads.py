"""Heads: networks of linear layers that make one number of an image embedding."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import linear

from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of
from diffclf_lightning.weight_files import UNREADABLE, read, why

Activation = Literal["none", "relu"]
ACTIVATIONS = get_args(Activation)
NESTED = "layers."
"""What the names of weights begin with where the network holds its layers as ``self.layers``."""
NUMBERED = re.compile(r"(\d+)\.(weight|bias)")
ALONE = {"weight", "bias"}


class Head(nn.Module):
    """Linear layers, with what is said to stand where a number is left out between two of them.

    Args:
        state: Weights as ``torch.nn.Sequential`` names them (``0.weight``, ``0.bias``,
            ``2.weight``, ...), or ``weight`` and ``bias`` of one layer; all names may begin with
            ``layers.``.
        activation: What stood in every gap of the numbers (between 0 and 2, or 0 and 3), which
            the weights do not tell: ``"relu"``, or ``"none"`` where it was dropout alone, which
            does nothing here. Between layers whose numbers follow each other (0 and 1) is
            nothing. Defaults to None: there is no gap.
        argument: Name of ``activation``, for messages.

    Raises:
        InputError: If they are not those of such layers, do not make one number, or have a gap
            of which nothing is said, or none for the activation.

    Example:
        >>> import torch
        >>> head = Head({"weight": torch.tensor([[2.0, 0.0]]), "bias": torch.tensor([1.0])})
        >>> head(torch.tensor([[3.0, 5.0]]))
        tensor([7.])
    """

    def __init__(
        self,
        state: dict[str, Tensor],
        activation: Activation | None = None,
        argument: str = "activation",
    ) -> None:
        super().__init__()
        if all(name.startswith(NESTED) for name in state):
            state = {name.removeprefix(NESTED): tensor for name, tensor in state.items()}
        if set(state) <= ALONE:
            state = {f"0.{name}": tensor for name, tensor in state.items()}
        found = {name: NUMBERED.fullmatch(name) for name in state}
        unknown = [name for name, match in found.items() if match is None]
        numbers = sorted({int(match[1]) for match in found.values() if match is not None})
        if unknown or not numbers or any(f"{number}.weight" not in state for number in numbers):
            raise InputError(
                "Expected a head of linear layers, `weight` and `bias` or `0.weight`, `0.bias`, "
                f"`2.weight`, ..., but got {', '.join(state) or 'nothing'}. Store it so."
            )
        _check_activation(activation, numbers, argument)
        self.numbers, self.activation = numbers, activation
        width = None
        for number in numbers:
            weight, bias = state[f"{number}.weight"], state.get(f"{number}.bias")
            fits = weight.ndim == 2 and width in (None, weight.shape[1])
            if not fits or (bias is not None and bias.shape != weight.shape[:1]):
                raise InputError(
                    f"Expected layer {number} of a head to take the {width} numbers of the layer "
                    f"before and a bias of its own height, but its weight is of shape "
                    f"{tuple(weight.shape)}. Store whole layers."
                )
            width = weight.shape[0]
            self.register_buffer(f"weight_{number}", weight.float())
            self.register_buffer(f"bias_{number}", None if bias is None else bias.float())
        if width != 1:
            raise InputError(
                f"Expected a head that makes one number, but its last layer makes {width}. Choose "
                "another file."
            )

    @property
    def inputs(self) -> int:
        """Number of dimensions of the embedding that it takes."""
        return int(self.get_buffer(f"weight_{self.numbers[0]}").shape[1])

    def forward(self, embedding: Tensor) -> Tensor:
        """One number an image.

        Args:
            embedding: Float32, shape ``(images, inputs)``.

        Returns:
            Float32, shape ``(images,)``.
        """
        values, before = embedding, self.numbers[0] - 1
        for number in self.numbers:
            if number > before + 1 and self.activation == "relu":
                values = values.relu()
            bias = getattr(self, f"bias_{number}")
            values, before = linear(values, self.get_buffer(f"weight_{number}"), bias), number
        return values[:, 0]


def load_head(source: str, name: str, activation: Activation | None = None) -> Head:
    """A head from a file.

    Args:
        source: A file, ``.safetensors`` or else one that torch reads as weights alone; or
            ``OWNER/NAME/FILE`` of the hub.
        name: ``"aesthetic"`` or ``"unsafe"``, with which the arguments begin, for messages.
        activation: See :class:`Head`.

    Returns:
        The head.

    Raises:
        InputError: If there is none, or it is of another kind.
    """
    try:
        file = _file(source)
        state = load_file(file) if file.suffix == ".safetensors" else read(file)
        if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
            raise ValueError("it holds no weights by name")
    except UNREADABLE as error:
        raise InputError(
            f"Expected --{name}-head to be a file of weights of linear layers, or OWNER/NAME/FILE "
            f"of the hub, but got {source!r} ({why(error)})."
        ) from error
    try:
        return Head(state, activation, f"--{name}-activation")
    except InputError as error:
        raise InputError(f"{error} (--{name}-head {source})") from error


def _check_activation(given: str | None, numbers: list[int], argument: str) -> None:
    gaps = [(one, other) for one, other in pairwise(numbers) if other > one + 1]
    if given not in (None, *ACTIVATIONS):
        raise InputError(f"Expected {argument} to be none or relu, but got {given!r}.")
    if gaps and given is None:
        raise InputError(
            f"Expected {argument}, since the weights do not tell what stood between layers "
            f"{gaps[0][0]} and {gaps[0][1]} of the head, but got none. Give relu, or none where it "
            "was dropout alone."
        )
    if given == "relu" and not gaps:
        raise InputError(
            f"Expected no {argument} relu, since the layers of the head follow each other without "
            "a gap. Leave it out, or store them under numbers with gaps."
        )


def _file(source: str) -> Path:
    path = path_of(source)
    if path.is_file():
        return path
    owner, _, rest = source.partition("/")
    name, _, inside = rest.partition("/")
    if not (owner and name and inside) or path.is_absolute() or source.startswith((".", "~")):
        raise FileNotFoundError("no such file")
    return Path(hf_hub_download(f"{owner}/{name}", inside))
