"""How many evaluations forward passes hold: one number a run, halved where memory ends, counted."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation.batching import (
    LARGEST,
    find_evaluations_per_batch,
    is_lack_of_memory,
)
from diffclf_lightning.evaluation.noised import Noised
from diffclf_lightning.evaluation.predictor import Conditionings, Predictor


@dataclass
class Filling:
    """How full forward passes were.

    Args:
        evaluations: Number of evaluations.
        underfilled: Those of them in passes that were less than half full.
        repeats: Rows that filled passes up beside them, and count for nothing.
    """

    evaluations: int = 0
    underfilled: int = 0
    repeats: int = 0


class PassSize:
    """The number of evaluations in one forward pass, for all batches of images of a run.

    Args:
        evaluations: The number. Defaults to None: found by trial.

    Raises:
        InputError: If it is below 1.

    Attributes:
        evaluations: The number, None until it is found.
        whole: Whether every pass has that many rows, filled up with repeats: one shape, so that a
            network that is compiled is compiled once.
        limit: Evaluations that fill the passes of the images at hand.
        filling: How full their passes were.
    """

    def __init__(self, evaluations: int | None = None) -> None:
        if evaluations is not None and evaluations < 1:
            raise InputError(
                "Expected argument `evaluations_per_batch` to be at least 1, but got "
                f"{evaluations}. Leave it out to have it found."
            )
        self.evaluations = evaluations
        self.whole = False
        self.limit: int | None = None
        self.filling = Filling()
        self._may_grow = evaluations is None
        self._searched = 0

    def wanting(self, limit: int) -> bool:
        """Whether it is to be found, or found again since it was cut short by few images.

        Args:
            limit: Evaluations of a pass that the images at hand fill.
        """
        grown = self._may_grow and not self.whole and limit >= 2 * self._searched
        return self.evaluations is None or grown

    def find(
        self,
        model: Predictor,
        x_0: Tensor,
        conditioning: Conditionings,
        times: Sequence[Fraction],
        limit: int,
    ) -> None:
        """Find it by trial.

        Args:
            model: Says what noise it sees.
            x_0: Clean images or latents, shape ``(images, ...)``.
            conditioning: Conditioning of the candidates.
            times: Times of the trials.
            limit: Evaluations of a pass that these images fill.
        """
        timesteps = model.at(times).to(x_0.device)

        @torch.no_grad()
        def forward(size: int) -> object:
            rows = torch.arange(size, device=x_0.device)
            samples = x_0[rows % len(x_0)]
            noised = Noised(samples, samples, timesteps[rows % len(timesteps)])
            return model.predict(noised, conditioning.rows(rows % conditioning.num_rows))

        with torch.compiler.set_stance("force_eager"):  # or each size would be compiled
            self.evaluations = find_evaluations_per_batch(forward, largest=limit, device=x_0.device)
        self._searched, self._may_grow = limit, 2 * self.evaluations > limit

    def begin(self, limit: int) -> None:
        """Begin with some images.

        Args:
            limit: Evaluations of a pass that they fill.
        """
        self.limit, self.filling = limit, Filling()

    @property
    def size(self) -> int:
        """Evaluations in a pass, at most."""
        found = self.evaluations or LARGEST
        bound = self._searched and not self.whole and self.limit
        return min(found, bound) if bound else found

    def cut(self, work: int) -> int:
        """Size of as few passes as hold some work, all of one size."""
        count = max(1, -(-work // self.size))
        return -(-work // count)

    def rows(self, size: int) -> int:
        """Rows of a pass of such a size, repeats among them."""
        return self.size if self.whole else size

    def count(self, evaluations: int, size: int) -> None:
        """Count a pass.

        Args:
            evaluations: Its evaluations.
            size: The size that it was cut to.
        """
        filling = self.filling
        filling.evaluations += evaluations
        filling.underfilled += evaluations * (2 * evaluations < self.size)
        filling.repeats += self.rows(size) - evaluations

    def shrink(self, size: int, error: RuntimeError) -> None:
        """Halve a size that did not fit in memory, for all passes to come.

        Args:
            size: Size of the pass.
            error: What it raised, which is raised again if it is no lack of memory, or there is
                nothing to halve.
        """
        rows = self.rows(size)
        if rows == 1 or not is_lack_of_memory(error):
            raise error
        self.evaluations, self._may_grow = rows // 2, False
        warnings.warn(
            f"A forward pass of {rows} evaluations does not fit in memory. Passes have at most "
            f"{self.evaluations} from here on, with the same results; evaluations_per_batch="
            f"{self.evaluations} takes them from the start.",
            stacklevel=2,
        )
