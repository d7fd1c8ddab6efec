"""Grids: which timesteps the trials of each block of a strategy use.

``T`` is the number of training timesteps and ``M`` the largest number of trials. The last block
always completes ``M`` timesteps; grids differ in how they hand these out to the blocks.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from diffclf_lightning.errors import InputError


class Grid(ABC):
    """Hands timesteps out to the blocks of a strategy."""

    @abstractmethod
    def blocks(self, trials: Sequence[int], num_train_timesteps: int) -> list[list[int]]:
        """New timesteps of every block, in evaluation order.

        Args:
            trials: Cumulative number of trials after each block, increasing.
            num_train_timesteps: Number ``T`` of timesteps that the model was trained with.

        Returns:
            One list of timesteps in ``[0, T)`` a block.
        """

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"


class NestedGrid(Grid):
    """Evenly spaced timesteps; the timesteps of a block contain those of all earlier blocks.

    Timestep ``i`` of ``M`` is ``floor((i + 1/2) T / M)``, which for ``M`` that divide ``T`` is the
    published base grid (250 of 1000: 2, 6, ..., 998). Each earlier block takes every so-manieth
    of the next one's, so that the cumulative counts are exactly the ``trials`` asked for.

    Example:
        >>> NestedGrid().blocks((2, 4), 1000)
        [[375, 875], [125, 625]]
    """

    def blocks(self, trials: Sequence[int], num_train_timesteps: int) -> list[list[int]]:
        """See :meth:`Grid.blocks`."""
        total = trials[-1]
        nested = [list(range(total))]
        for count in reversed(trials[:-1]):
            later = nested[0]
            chosen = [((2 * i + 1) * len(later)) // (2 * count) for i in range(count)]
            nested.insert(0, [later[i] for i in chosen])
        blocks: list[list[int]] = []
        done: set[int] = set()
        for positions in nested:
            new = [position for position in positions if position not in done]
            done.update(new)
            blocks.append([(2 * i + 1) * num_train_timesteps // (2 * total) for i in new])
        return blocks


class PublishedGrid(Grid):
    """The grid of the published evaluations, for comparison with published numbers.

    With the base grid ``range(T//M//2, T, T//M)[:M]``, a block of ``n`` cumulative trials takes
    ``grid[M//n//2 :: M//n][:n]`` less what is done already. These do not nest, so that the
    cumulative counts may exceed ``trials`` (20, 50, 100, 500 become 20, 70, 150, 500).
    """

    def blocks(self, trials: Sequence[int], num_train_timesteps: int) -> list[list[int]]:
        """See :meth:`Grid.blocks`.

        Raises:
            InputError: If there are more trials than timesteps.
        """
        total = trials[-1]
        if total > num_train_timesteps:
            raise InputError(
                f"Expected the last of `trials` to be at most {num_train_timesteps}, the number of "
                f"training timesteps, but got {total}. Use fewer trials, or `NestedGrid` or "
                "`UniformGrid`, which may repeat timesteps."
            )
        step = num_train_timesteps // total
        base = list(range(step // 2, num_train_timesteps, step))[:total]
        done: set[int] = set()
        blocks = []
        for count in trials:
            stride = total // count
            new = [t for t in base[stride // 2 :: stride][:count] if t not in done]
            done.update(new)
            blocks.append(new)
        return blocks


class UniformGrid(Grid):
    """Independent timesteps, uniform over the training range.

    Args:
        seed: Seed of the draw.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def blocks(self, trials: Sequence[int], num_train_timesteps: int) -> list[list[int]]:
        """See :meth:`Grid.blocks`."""
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randint(num_train_timesteps, (trials[-1],), generator=generator).tolist()
        return [drawn[a:b] for a, b in zip((0, *trials[:-1]), trials, strict=True)]
