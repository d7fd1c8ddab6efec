"""Everything that is measured on one test set, by torchmetrics, exact under any number of ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torchmetrics import SumMetric
from torchmetrics.aggregation import MaxMetric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassStatScores,
)

from diffclf_lightning.metrics.by_loss import CorrectByLoss
from diffclf_lightning.metrics.count import Count

TOP_K = 5
BINS = 15


@dataclass(frozen=True)
class Report(Count):
    """What was measured on a test set; accuracies are fractions, times in seconds."""

    mean_per_class_accuracy: float
    top5_accuracy: float | None
    calibration_error: float
    negative_log_likelihood: float
    evaluations: int
    evaluations_per_image: float
    seconds_per_image: float
    evaluations_per_second: float
    skipped: int = 0
    metric: str = "accuracy"
    """Name of the metric that is published for the set."""
    other_losses: dict[str, Count] = field(default_factory=dict)
    """The same images by other losses, by the name of the loss."""

    def scalars(self) -> dict[str, float]:
        """Values to log, by name."""
        values = {
            "accuracy": self.accuracy,
            "accuracy_lower": self.interval.lower,
            "accuracy_upper": self.interval.upper,
            "mean_per_class_accuracy": self.mean_per_class_accuracy,
            "top5_accuracy": self.top5_accuracy,
            "calibration_error": self.calibration_error,
            "negative_log_likelihood": self.negative_log_likelihood,
            "evaluations_per_image": self.evaluations_per_image,
            "seconds_per_image": self.seconds_per_image,
            "evaluations_per_second": self.evaluations_per_second,
            **{f"accuracy_{name}": count.accuracy for name, count in self.other_losses.items()},
        }
        return {name: value for name, value in values.items() if value is not None}


class SetMetrics(nn.Module):
    """Metrics of one test set.

    Args:
        num_labels: Number of labels.
        metric: Name of the metric that is published for the set.
        dtype: Type of the sums; seconds and counts of a long run leave the range where float32
            counts exactly.
        other_losses: Names of the other losses whose predictions are counted too.
    """

    def __init__(
        self,
        num_labels: int,
        metric: str = "accuracy",
        dtype: torch.dtype = torch.float64,
        other_losses: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.metric = metric
        many = max(num_labels, 2)
        self.stats = MulticlassStatScores(num_classes=many, average=None)
        self.top5 = (
            MulticlassAccuracy(num_classes=many, top_k=TOP_K, average="micro")
            if num_labels > TOP_K
            else None
        )
        self.calibration = MulticlassCalibrationError(num_classes=many, n_bins=BINS, norm="l1")
        self.nll, self.evaluations, self.seconds = SumMetric(), SumMetric(), SumMetric()
        self.wall, self.skipped = MaxMetric(), SumMetric()
        for total in (self.nll, self.evaluations, self.seconds, self.wall):
            total.set_dtype(dtype)
        self.by_loss = CorrectByLoss(other_losses) if other_losses else None
        self._wall, self._correct, self._total = 0.0, 0, 0

    def update(
        self,
        scores: Tensor,
        probabilities: Tensor,
        predictions: Tensor,
        labels: Tensor,
        evaluations: Tensor,
        seconds: float,
        others: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Count a batch of images.

        Args:
            scores: Label scores, lower is better, shape ``(images, labels)``.
            probabilities: Posterior, of the same shape.
            predictions: Predicted labels, shape ``(images,)``.
            labels: True labels, shape ``(images,)``.
            evaluations: Model evaluations of each image, shape ``(images,)``.
            seconds: Time that the batch took.
            others: Predicted labels by each of the other losses.
        """
        self.stats.update(predictions, labels)
        if self.by_loss is not None:
            self.by_loss.update(others or {}, labels)
        self._correct += int((predictions == labels).sum())
        self._total += len(labels)
        if self.top5 is not None:
            self.top5.update(-scores, labels)
        if scores.shape[1] > 1:
            self.calibration.update(probabilities, labels)
        likelihood = probabilities.cpu().double().gather(1, labels.cpu()[:, None])
        tiny = torch.finfo(torch.float32).tiny
        self.nll.update(-float(likelihood.clamp(min=tiny).log().sum()))
        self.evaluations.update(int(evaluations.sum()))
        self.seconds.update(seconds)
        self.skipped.update(0)
        self._wall += seconds
        self.wall.update(self._wall)

    def skip(self) -> None:
        """Count an image that could not be read."""
        self.skipped.update(1)

    def running_accuracy(self) -> float | None:
        """Accuracy of this rank so far; none before the first image."""
        return self._correct / self._total if self._total else None

    def compute(self) -> Report | None:
        """The report over all ranks; none where no image was counted."""
        stats = self.stats.compute()
        true_positives, support = stats[:, 0], stats[:, 4]
        total = int(support.sum())
        if total == 0:
            return None
        nll, evaluations = float(self.nll.compute()), round(float(self.evaluations.compute()))
        seconds, wall = float(self.seconds.compute()), float(self.wall.compute())
        calibration = float(self.calibration.compute())
        top5 = None if self.top5 is None else float(self.top5.compute())
        skipped = int(self.skipped.compute())
        others: dict[str, Count] = {}
        if self.by_loss is not None:
            # torchmetrics makes a number of a tensor of one.
            correct = self.by_loss.compute().reshape(-1).tolist()
            others = {
                name: Count(number, total)
                for name, number in zip(self.by_loss.names, correct, strict=True)
            }
        present = support > 0
        recall = true_positives[present].double() / support[present]
        return Report(
            correct=int(true_positives.sum()),
            total=total,
            mean_per_class_accuracy=float(recall.mean()),
            top5_accuracy=top5,
            calibration_error=calibration,
            negative_log_likelihood=nll / total,
            evaluations=evaluations,
            evaluations_per_image=evaluations / total,
            seconds_per_image=seconds / total,
            evaluations_per_second=evaluations / wall if wall else 0.0,
            skipped=skipped,
            metric=self.metric,
            other_losses=others,
        )
