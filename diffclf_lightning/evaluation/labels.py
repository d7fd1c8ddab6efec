"""From candidates to labels: a label is as good as its best candidate."""

import torch
from torch import Tensor


def best_candidates(scores: Tensor, labels: Tensor, num_labels: int) -> Tensor:
    """The candidate that stands for each label: the one of lowest score, the first of equals.

    Args:
        scores: Scores of candidates, lower is better, shape ``(images, candidates)``.
        labels: Label of each candidate, shape ``(candidates,)``.
        num_labels: Number of labels.

    Returns:
        Candidate indices, -1 for labels without a candidate of finite score, int64, shape
        ``(images, num_labels)``.
    """
    images, candidates = scores.shape
    label = labels.expand(images, -1)
    lowest = scores.new_full((images, num_labels), torch.inf)
    lowest = lowest.scatter_reduce(1, label, scores, "amin")
    index = torch.arange(candidates, device=scores.device).expand(images, -1)
    is_best = (scores == lowest.gather(1, label)) & scores.isfinite()
    first = index.new_full((images, num_labels), candidates)
    first = first.scatter_reduce(1, label, index.masked_fill(~is_best, candidates), "amin")
    return first.masked_fill(first == candidates, -1)


def per_label(values: Tensor, best: Tensor, missing: float) -> Tensor:
    """Values of the candidates that stand for the labels.

    Args:
        values: Values of candidates, shape ``(images, candidates)``.
        best: From :func:`best_candidates`, shape ``(images, labels)``.
        missing: Value of a label without a candidate.

    Returns:
        Values of labels, shape ``(images, labels)``.
    """
    return values.gather(1, best.clamp(min=0)).masked_fill(best < 0, missing)


def log_posterior(
    label_scores: Tensor, temperature: float = 1.0, prior: Tensor | None = None
) -> Tensor:
    r"""Log-probability of each label, :math:`p(c|x) \propto p(c) \exp(-\tau E_c)` (Eq. 8).

    Args:
        label_scores: Scores of labels, lower is better, infinite without a candidate, shape
            ``(images, labels)``.
        temperature: The factor :math:`\tau`. With 1 and mean errors it is close to uniform; the
            paper's squared norm is a sum, so that its factor is the number of elements.
        prior: Class prior, shape ``(labels,)``. Defaults to None: uniform.

    Returns:
        Natural logarithms, float64 (float32 on devices without it), shape ``(images, labels)``.
    """
    exact = torch.float32 if label_scores.device.type == "mps" else torch.float64
    scores = label_scores.to(exact)
    # Only differences count, and a large temperature would round them away.
    logits = -temperature * (scores - scores.amin(dim=1, keepdim=True))
    if prior is not None:
        logits = logits + prior.to(logits).log()
    return logits.log_softmax(dim=1)
