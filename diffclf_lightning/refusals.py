"""What Lightning refuses of what was asked for, as input errors; any other error stays as it is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from diffclf_lightning.errors import InputError, input_error_behind
from diffclf_lightning.paths import path_of

WHILE_MADE = TypeError, ValueError, ImportError, NotImplementedError, RuntimeError
"""What Lightning raises, beside what it calls a misconfiguration, for arguments that are wrong."""
NAMED = "last", "hpc"
"""Checkpoints that Lightning finds by itself."""
SHARDED = "meta.pt", "checkpoint", "latest"
"""Of which a folder that is a checkpoint, of several processes, has one."""
AT_LEAST_ONE = "accumulate_grad_batches", "check_val_every_n_epoch"
"""Arguments of the Trainer by which it divides, unseen."""


@contextmanager
def refusals(*, making: bool = False) -> Iterator[None]:
    """Answer what Lightning refuses within as an :class:`InputError`.

    A misconfiguration is what was asked for, wherever it is found. Other errors are, if Lightning
    itself raises them while the Trainer and its parts are made of arguments: the innermost frame of
    the traceback tells, so that an error of this package keeps its own.

    Args:
        making: Whether the Trainer and its parts are made within.
    """
    try:
        yield
    except Exception as error:
        if input_error_behind(error) is not None:
            raise
        found = _refusal(error, making)
        if found is None:
            raise
        said = " ".join(str(found).split()).rstrip(".!")
        raise InputError(
            "Expected arguments that Lightning can do with what is here, but it says: "
            f"{said}. Change that one, `--trainer.*`."
        ) from error


def _refusal(error: BaseException | None, making: bool) -> BaseException | None:
    """The first error behind one, itself included, that is a refusal of Lightning's; or None."""
    while error is not None:
        raised = isinstance(error, WHILE_MADE) and _raised_in(error) == "lightning"
        if isinstance(error, MisconfigurationException) or (making and raised):
            return error
        error = error.__cause__ or error.__context__
    return None


def _raised_in(error: BaseException) -> str:
    """The package whose code raises an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", ""))
    return name.partition(".")[0]


def checkpoint_path(given: Any) -> Any:
    """The path of a checkpoint as it is meant, which has to be there before a model is made.

    Args:
        given: What was typed: a file, a folder of sharded weights, an address or a name of
            Lightning's; or None.

    Returns:
        The path of a file or folder; anything else as it is.

    Raises:
        InputError: If nothing is there.
    """
    if given is None or str(given) in NAMED or "://" in str(given):
        return given
    path = path_of(given, "argument `ckpt_path`")
    if not path.is_file() and not any((path / name).exists() for name in SHARDED):
        there = "a folder of something else" if path.is_dir() else "which is not there"
        raise InputError(
            f"Expected argument `ckpt_path` to be the file of a checkpoint, but got "
            f"{str(given)!r}, {there}. `diffclf fit` prints the path of the one that it writes."
        )
    return str(path)


def check_work(trainer: Trainer, command: str, path: Any) -> None:
    """Refuse with what a run would do nothing, or not what was asked for, and end as if it had.

    Args:
        trainer: The Trainer.
        command: The subcommand.
        path: The checkpoint that was asked for, or None.

    Raises:
        InputError: If it would.
    """
    if path == "last" and not any(
        getattr(callback, "save_last", None) for callback in trainer.checkpoint_callbacks
    ):
        raise InputError(
            "Expected argument `ckpt_path` to be the file of a checkpoint, but got 'last', which "
            "no callback of this run stores. Give its path."
        )
    stage = "train" if command == "fit" else {"validate": "val"}.get(command, command)
    batches = f"limit_{stage}_batches"
    if getattr(trainer, batches) == 0:
        raise InputError(
            f"Expected argument `trainer.{batches}` to leave something to do, but got 0. Leave it "
            "out to take all batches, or give their number."
        )
    _check_divisors(trainer, AT_LEAST_ONE if command == "fit" else ())


def _check_divisors(trainer: Trainer, names: Sequence[str]) -> None:
    for name in names:
        value = getattr(trainer, name)
        if value is not None and value < 1:
            raise InputError(
                f"Expected argument `trainer.{name}` to be at least 1, but got {value}. "
                "Leave it out, or give a whole number."
            )
