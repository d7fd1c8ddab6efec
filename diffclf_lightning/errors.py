"""The one error that means "what was asked for cannot be done as it stands"."""


class InputError(ValueError):
    """An argument, a file or a batch of images is not what it has to be.

    The message says what was expected, what came and what to do. The command line prints the
    message alone; from Python it is a :class:`ValueError` like any other.
    """


class NeighbourError(InputError):
    """Another process of the run has ended, which says why."""


def message_of(error: InputError) -> str:
    """What an error says, without what a worker process that loads images puts around it."""
    text = str(error)
    if "in DataLoader worker process" in text:
        text = text.rpartition("InputError: ")[2].strip()
    return text


def input_error_behind(error: BaseException | None) -> InputError | None:
    """The input error behind an error, since jsonargparse wraps what constructors raise."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__
    return error
