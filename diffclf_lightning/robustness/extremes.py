"""What becomes of baselines with an accuracy of 0 or 1, which logit and probit cannot hold."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Accuracy


@dataclass(frozen=True)
class Point:
    """A baseline on the two axes.

    Args:
        name: What it is called.
        family: What it has in common with baselines that are not independent of it.
        id: In-distribution accuracy.
        ood: Out-of-distribution accuracy.
    """

    name: str
    family: str
    id: Accuracy
    ood: Accuracy

    @property
    def is_extreme(self) -> bool:
        """Whether one of the accuracies is 0 or 1."""
        return self.id.is_extreme or self.ood.is_extreme


class Extremes(ABC):
    """A policy for baselines with an accuracy of 0 or 1."""

    @abstractmethod
    def __call__(self, points: Sequence[Point]) -> tuple[list[Point], list[str]]:
        """Apply it.

        Args:
            points: The baselines.

        Returns:
            Baselines to fit, and notes that say what was done.
        """


class Refuse(Extremes):
    """Stop at the first."""

    def __call__(self, points: Sequence[Point]) -> tuple[list[Point], list[str]]:
        """See :meth:`Extremes.__call__`.

        Raises:
            InputError: If there is one.
        """
        for point in points:
            if point.is_extreme:
                raise InputError(
                    f"Expected baselines with accuracies strictly between 0 and 1, but "
                    f"{point.name} has {point.id.value:g} and {point.ood.value:g}. Leave it out, "
                    "or choose another policy: --extremes leave-out or smooth."
                )
        return list(points), []


class LeaveOut(Extremes):
    """Leave them out, and name them."""

    def __call__(self, points: Sequence[Point]) -> tuple[list[Point], list[str]]:
        """See :meth:`Extremes.__call__`."""
        out = [point.name for point in points if point.is_extreme]
        note = f"left out, with an accuracy of 0 or 1: {_few(out)}"
        return [point for point in points if not point.is_extreme], [note] if out else []


class Smooth(Extremes):
    """Add half an image on either side to all baselines (Haldane-Anscombe)."""

    def __call__(self, points: Sequence[Point]) -> tuple[list[Point], list[str]]:
        """See :meth:`Extremes.__call__`.

        Raises:
            InputError: If a number of images is not known.
        """
        smoothed = [replace(p, id=p.id.smoothed, ood=p.ood.smoothed) for p in points]
        return smoothed, ["half an image is added on either side of every accuracy"]


POLICIES: dict[str, Extremes] = {"leave-out": LeaveOut(), "smooth": Smooth(), "refuse": Refuse()}


def _few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
