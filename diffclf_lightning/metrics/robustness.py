r"""Effective and relative robustness (Taori et al. 2020).

A fit over baselines predicts the out-of-distribution accuracy p of a model from its
in-distribution accuracy; *effective robustness* is what it has beyond that. Its variance, from the
binomial variances of both accuracies and the standard error of the fitted line, is

.. math:: \frac{ood (1 - ood)}{n_{ood}} + g^2 \frac{id (1 - id)}{n_{id}} + (p' \, se_{fit})^2,
   \qquad g = b \, p' / id'

with the slope b of the line and :math:`p' = dp/dz` on the scale, p (1 - p) for logit.
"""

from dataclasses import dataclass

import torch
from scipy.stats import norm
from torch import Tensor
from torchmetrics import Metric

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics.accuracy import Accuracy
from diffclf_lightning.metrics.fits import Fit
from diffclf_lightning.metrics.intervals import CONFIDENCE, Interval


@dataclass(frozen=True)
class Robustness:
    """Effective robustness of a model.

    Args:
        id: In-distribution accuracy.
        ood: Out-of-distribution accuracy.
        predicted: Out-of-distribution accuracy that the baselines' fit gives, from 0 to 1.
        standard_error: Standard error of the effective robustness; none where a number of images
            is not known, or the fit has no degrees of freedom.
        extrapolates: Whether the prediction leaves the range of the baselines.
    """

    id: Accuracy
    ood: Accuracy
    predicted: float
    standard_error: float | None
    extrapolates: bool

    @property
    def effective(self) -> float:
        """Effective robustness, a difference of fractions (times 100: points)."""
        return self.ood.value - self.predicted

    @property
    def interval(self) -> Interval | None:
        """95% interval of the effective robustness, normal."""
        if self.standard_error is None:
            return None
        width = float(norm.ppf((1 + CONFIDENCE) / 2)) * self.standard_error
        return Interval(self.effective - width, self.effective + width)


def effective_robustness(fit: Fit, id: Accuracy, ood: Accuracy) -> Robustness:
    """Effective robustness of a model against a fit over baselines.

    Args:
        fit: The fit.
        id: In-distribution accuracy of the model.
        ood: Its out-of-distribution accuracy.

    Returns:
        The effective robustness.

    Raises:
        InputError: If the in-distribution accuracy is infinite on the fit's scale.
    """
    piece = fit.piece(id.value)
    predicted = piece.predict(id.value)
    steepness = float(fit.scale.derivative(predicted))
    variance = None
    error = piece.standard_error(id.value)
    if error is not None and id.variance is not None and ood.variance is not None:
        gain = piece.slope_at(id.value) * steepness / float(fit.scale.derivative(id.value))
        variance = ood.variance + gain**2 * id.variance + (steepness * error) ** 2
    return Robustness(
        id,
        ood,
        predicted,
        None if variance is None else variance**0.5,
        piece.extrapolates(id.value),
    )


def relative_robustness(ood: Accuracy, ood_without: Accuracy) -> float:
    """What an intervention changes out of distribution.

    Args:
        ood: Out-of-distribution accuracy of the model with the intervention.
        ood_without: That of the model without.

    Returns:
        The difference, as a fraction.
    """
    return ood.value - ood_without.value


class EffectiveRobustness(Metric):
    """Effective robustness over batches of an in- and an out-of-distribution set.

    ``compute`` gives ``effective_robustness``, its ``standard_error`` (NaN where the fit has no
    degrees of freedom), ``predicted``, ``id_accuracy`` and ``ood_accuracy`` as double tensors.

    Args:
        fit: The fit over baselines.
        **kwargs: Arguments of :class:`torchmetrics.Metric`.

    Example:
        >>> from diffclf_lightning.metrics import Straight
        >>> metric = EffectiveRobustness(Straight().fit([0.6, 0.7, 0.8], [0.5, 0.6, 0.7]))
        >>> metric.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]), ood=False)
        >>> metric.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]), ood=True)
        >>> f"{metric.compute()['effective_robustness']:.3f}"
        '0.103'
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor

    def __init__(self, fit: Fit, **kwargs: bool) -> None:
        super().__init__(**kwargs)
        self.fit = fit
        # Rows: in and out of distribution; columns: correct and total.
        self.add_state("counts", torch.zeros(2, 2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor, ood: bool) -> None:
        """Count a batch.

        Args:
            predictions: Predicted labels, shape ``(images,)``.
            labels: True labels, shape ``(images,)``.
            ood: Whether the batch is of the out-of-distribution set.

        Raises:
            InputError: If there are not as many labels as predictions.
        """
        if predictions.shape != labels.shape:
            raise InputError(
                f"Expected `predictions` and `labels` of one shape, but got "
                f"{tuple(predictions.shape)} and {tuple(labels.shape)}."
            )
        self.counts[int(ood), 0] += (predictions == labels).sum()
        self.counts[int(ood), 1] += labels.numel()

    def compute(self) -> dict[str, Tensor]:
        """The effective robustness, and what it is made of.

        Raises:
            InputError: If no image of either set was counted.
        """
        (id_correct, id_total), (ood_correct, ood_total) = self.counts.tolist()
        id, ood = Accuracy.of(id_correct, id_total), Accuracy.of(ood_correct, ood_total)
        result = effective_robustness(self.fit, id, ood)
        error = torch.nan if result.standard_error is None else result.standard_error
        values = {
            "effective_robustness": result.effective,
            "standard_error": error,
            "predicted": result.predicted,
            "id_accuracy": id.value,
            "ood_accuracy": ood.value,
        }
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
