"""Tasks: what a set asks, and how answers are counted."""

from diffclf_lightning.errors import InputError
from diffclf_lightning.tasks.base import COSTS, Asked, Question, Task
from diffclf_lightning.tasks.classification import Classification
from diffclf_lightning.tasks.matching import Matching

CLASSIFICATION = "classification"
NAMED: dict[str, type[Task]] = {CLASSIFICATION: Classification, "matching": Matching}
"""Tasks by what the attribute ``asks`` of a data module calls them."""


def task_named(name: str) -> type[Task]:
    """The task of a name.

    Args:
        name: What the attribute ``asks`` of a data module holds.

    Raises:
        InputError: If there is none.
    """
    if name not in NAMED:
        raise InputError(
            f"Expected attribute `asks` of the data module to be one of {', '.join(NAMED)}, but "
            f"got {name!r}. Give argument `task` for a task of your own."
        )
    return NAMED[name]


__all__ = [
    "CLASSIFICATION",
    "COSTS",
    "Asked",
    "Classification",
    "Matching",
    "Question",
    "Task",
    "task_named",
]
