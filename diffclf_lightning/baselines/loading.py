"""Baselines of whatever class, from the checkpoints that ``fit`` wrote."""

from pathlib import Path
from pkgutil import resolve_name

from diffclf_lightning.baselines.discriminative import DiscriminativeClassifier
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import path_of
from diffclf_lightning.weight_files import UNREADABLE, read, why


def load_baseline(path: str | Path, argument: str = "path") -> DiscriminativeClassifier:
    """A baseline from its checkpoint, which says of which class it is.

    Args:
        path: The checkpoint.
        argument: Name of the argument, for messages.

    Returns:
        The baseline.

    Raises:
        InputError: If there is no such file, or it is of something else.
    """
    file = path_of(path)
    key = DiscriminativeClassifier.CHECKPOINT_HYPER_PARAMS_KEY
    try:
        stored = read(file, in_place=True)
        made = resolve_name(stored[key]["_class_path"])
        if not issubclass(made, DiscriminativeClassifier):
            raise TypeError(f"{made.__name__} is no baseline")
    except (*UNREADABLE, ImportError) as error:
        raise InputError(
            f"Expected argument `{argument}` to be the checkpoint of a baseline that `diffclf fit` "
            f"wrote, but got {str(path)!r} ({why(error)}). Train one: diffclf fit --config "
            "baselines/folder."
        ) from error
    loaded: DiscriminativeClassifier = made.load_from_checkpoint(file, map_location="cpu")
    return loaded
