"""Heads: networks of linear layers that make one number of an image embedding."""

import re
from pathlib import Path
from pickle import UnpicklingError

import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import linear

from diffclf_lightning.errors import InputError

NUMBERED = re.compile(r"(\d+)\.(weight|bias)")
ALONE = {"weight", "bias"}
UNREADABLE = (OSError, SafetensorError, RuntimeError, UnpicklingError, EOFError, ValueError)


class Head(nn.Module):
    """Linear layers, with a ReLU between two of them where other modules stood there.

    Args:
        state: Weights as ``torch.nn.Sequential`` names them (``0.weight``, ``0.bias``,
            ``2.weight``, ...), or ``weight`` and ``bias`` of one layer. Between layers whose
            numbers follow each other (0 and 1) is nothing, between others (0 and 2, 0 and 3) a
            ReLU; dropout, which does nothing here, may stand there too.

    Raises:
        InputError: If they are not those of such layers, or do not make one number.

    Example:
        >>> head = Head({"weight": torch.tensor([[2.0, 0.0]]), "bias": torch.tensor([1.0])})
        >>> head(torch.tensor([[3.0, 5.0]]))
        tensor([7.])
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
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
        self.numbers = numbers
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
            if number > before + 1:
                values = values.relu()
            bias = getattr(self, f"bias_{number}")
            values, before = linear(values, self.get_buffer(f"weight_{number}"), bias), number
        return values[:, 0]


def load_head(source: str, argument: str) -> Head:
    """A head from a file.

    Args:
        source: A file, ``.safetensors`` or else one that torch reads as weights alone; or
            ``OWNER/NAME/FILE`` of the hub.
        argument: Name of the argument, for messages.

    Returns:
        The head.

    Raises:
        InputError: If there is none, or it is of another kind.
    """
    try:
        file = _file(source)
        if file.suffix == ".safetensors":
            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
            raise ValueError("it holds no weights by name")
        return Head(state)
    except UNREADABLE as error:
        said = (str(error).splitlines() or [""])[0]
        raise InputError(
            f"Expected {argument} to be a file of weights of linear layers, or OWNER/NAME/FILE of "
            f"the hub, but got {source!r} ({type(error).__name__}: {said})."
        ) from error


def _file(source: str) -> Path:
    path = Path(source).expanduser()
    if path.is_file():
        return path
    owner, _, rest = source.partition("/")
    name, _, inside = rest.partition("/")
    if not (owner and name and inside) or path.is_absolute() or source.startswith((".", "~")):
        raise FileNotFoundError("no such file")
    return Path(hf_hub_download(f"{owner}/{name}", inside))
