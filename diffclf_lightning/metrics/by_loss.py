"""Correct images by each of several losses that one pass computes."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric


class CorrectByLoss(Metric):
    """Number of correct images by each loss, exact under any number of ranks.

    Args:
        names: Names of the losses, at least one.
    """

    correct: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        zeros = torch.zeros(len(self.names), dtype=torch.int64)
        self.add_state("correct", zeros, dist_reduce_fx="sum")

    def update(self, predictions: Mapping[str, Tensor], labels: Tensor) -> None:
        """Count a batch of images.

        Args:
            predictions: Predicted labels by loss, each of shape ``(images,)``.
            labels: True labels, shape ``(images,)``.
        """
        right = [(predictions[name] == labels).sum() for name in self.names]
        self.correct += torch.stack(right)

    def compute(self) -> Tensor:
        """Number of correct images by each loss, int64, shape ``(losses,)``."""
        return self.correct
