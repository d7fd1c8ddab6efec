r"""The temperature that makes the posterior a probability.

:math:`p(c|x) \propto \exp(-\tau E_c)` with mean errors :math:`E_c` is close to uniform at
:math:`\tau = 1`, because a mean over thousands of elements hardly differs between classes. The
factor that fits held-out images best is found by their negative log-likelihood.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from scipy.optimize import minimize_scalar
from torch import Tensor

from diffclf_lightning.errors import InputError


def fit_temperature(scores: Tensor, labels: Tensor) -> float:
    """Temperature of lowest negative log-likelihood.

    Args:
        scores: Label scores, lower is better, infinite where a label has no candidate, shape
            ``(images, labels)``. Images whose true label has none say nothing, and are left out.
        labels: True labels, shape ``(images,)``.

    Returns:
        The temperature, between 1e-3 and 1e8. The upper bound is reached where every image is
        classified correctly.

    Raises:
        InputError: If there is no image.
    """
    known = scores.gather(1, labels[:, None])[:, 0].isfinite()
    scores, labels = scores[known], labels[known]
    if len(labels) == 0:
        raise InputError("Expected at least one image to fit a temperature on, but got none.")
    scores = scores.double() - scores.double().amin(dim=1, keepdim=True)

    def nll(log_temperature: float) -> float:
        logits = -(10.0**log_temperature) * scores
        return float(F.cross_entropy(logits, labels))

    best = minimize_scalar(nll, bounds=(-3, 8), method="bounded", options={"xatol": 1e-4})
    return float(torch.tensor(10.0**best.x))
