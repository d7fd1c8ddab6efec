"""Checkpoints that hold the arguments of their model, so that loading needs nothing else."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn

from diffclf_lightning.arguments import NotPlainError, check_given, given_arguments, plain
from diffclf_lightning.errors import InputError, input_error_behind
from diffclf_lightning.weight_files import UNREADABLE, read, why

NOT_STORED = "arguments_not_stored"
"""Entry of a checkpoint that has the classes of the arguments which it does not hold."""
WRITTEN = "state_dict", "pytorch-lightning_version"
"""Entries of every checkpoint."""
INSTANTIATOR = "lightning.pytorch.cli.instantiate_module"
"""What makes a module of stored arguments, as a checkpoint names it."""


def read_checkpoint(path: str | Path) -> Mapping[str, Any]:
    """What a checkpoint holds, of which nothing is run; its tensors stay in the file.

    Args:
        path: The file.

    Raises:
        InputError: If it is no checkpoint of tensors and plain values, or names another function
            to make its module with than Lightning's.
    """
    try:
        content = read(Path(path), in_place=True)
        entries: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
        if wanting := [name for name in WRITTEN if name not in entries]:
            raise ValueError(f"it has no {wanting[0]!r}")
    except UNREADABLE as error:
        raise InputError(
            f"Expected a checkpoint that `diffclf fit` or Lightning wrote, but got {str(path)!r}: "
            f"{why(error)}."
        ) from error
    arguments = entries.get(LightningModule.CHECKPOINT_HYPER_PARAMS_KEY)
    made_by = arguments.get("_instantiator") if isinstance(arguments, Mapping) else None
    if made_by not in (None, INSTANTIATOR):
        raise InputError(
            f"Expected a checkpoint whose module {INSTANTIATOR} makes, but {str(path)!r} names "
            f"{made_by!r}, which is not run."
        )
    return entries


def _differences(own: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    missing = [name for name in own if name not in given]
    others = [name for name in given if name not in own]
    both = [name for name in own if name in given]
    sizes = [n for n in both if getattr(own[n], "shape", None) != getattr(given[n], "shape", None)]
    told = (("lacks", missing), ("has beside them", others), ("has in other sizes", sizes))
    said = [f"{how} {len(names)} ({names[0]}, ...)" for how, names in told if names]
    return f"which of {len(own)} weights {', '.join(said)}" if said else "whose weights do not fit"


class WholeCheckpoints(LightningModule):
    """A module that stores the arguments of its constructor in checkpoints, as plain values."""

    trained_here: frozenset[str] = frozenset({"optimizer", "lr_scheduler"})
    """Arguments that matter to ``fit`` alone: no checkpoint holds them."""

    _given: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = super().__new__(cls)
        made.__dict__["_given"] = given_arguments(cls, args, kwargs)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy that shares what makes optimizers: of the command line, it holds all of it."""
        for name in self.trained_here & vars(self).keys():
            memo[id(vars(self)[name])] = vars(self)[name]
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__setstate__(deepcopy(self.__getstate__(), memo))
        return made

    def settled_arguments(self) -> dict[str, Any]:
        """Arguments that have become others than those that the constructor got."""
        return {}

    @property
    def awaits_checkpoint(self) -> bool:
        """Whether the network is not made yet, since its sizes come from data or a checkpoint."""
        return False

    @property
    def fitting(self) -> bool:
        """Whether a trainer has the module for ``fit``."""
        return self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the arguments as plain values, so that ``load_from_checkpoint`` needs no others."""
        stored: dict[str, Any] = {}
        not_stored: dict[str, str] = {}
        for name, value in {**self._given, **self.settled_arguments()}.items():
            try:
                if name not in self.trained_here:
                    stored[name] = plain(value)
            except (NotPlainError, UnicodeDecodeError):
                not_stored[name] = type(value).__name__
        checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = {
            "_class_path": f"{type(self).__module__}.{type(self).__qualname__}",
            "_instantiator": INSTANTIATOR,
            **stored,
        }
        checkpoint[NOT_STORED] = not_stored

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint whose arguments are not whole, where no trainer has the model."""
        if self._trainer is None:
            given = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {})
            check_given(checkpoint.get(NOT_STORED, {}), given)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Take the weights of a checkpoint.

        Args:
            state_dict: The weights by name.
            strict: Whether all have to be there, and no others.
            assign: As :meth:`torch.nn.Module.load_state_dict` takes it.

        Raises:
            InputError: If they are those of another model.
        """
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            raise InputError(
                f"Expected a checkpoint of this {type(self).__name__}, but got one of another "
                f"model, {_differences(self.state_dict(), state_dict)}. Give the checkpoint with "
                "the arguments of the model that it was trained with, as its config.yaml has them."
            ) from error

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **kwargs: Any) -> Self:
        """Load a model from a checkpoint, which holds its arguments.

        Args:
            checkpoint_path: The file.
            *args: As :meth:`lightning.pytorch.LightningModule.load_from_checkpoint` takes them.
            **kwargs: The same, and arguments of the constructor in place of the stored ones.

        Raises:
            InputError: If an argument could not be stored and is not given, or does not fit, or the
                file is none, or holds objects and ``weights_only=False`` is not given.
        """
        load = super().load_from_checkpoint
        # Lightning's own default runs what an address on the web gives.
        safe = args[3] if len(args) > 3 else kwargs.setdefault("weights_only", True)
        of_file = isinstance(checkpoint_path, str | Path) and Path(checkpoint_path).is_file()
        content = read_checkpoint(checkpoint_path) if of_file and safe is not False else {}
        try:
            return load(checkpoint_path, *args, **kwargs)
        except Exception as error:
            if (said := input_error_behind(error)) is not None:
                raise said from error
            check_given(content.get(NOT_STORED, {}), kwargs)
            raise
