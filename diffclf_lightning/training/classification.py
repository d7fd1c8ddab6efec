r"""Cross-entropy over the errors of candidates: a denoiser trained as the classifier that it is.

Of an image with label ``y``, and errors :math:`e_c` of the candidates ``c`` over some trials that
all of them share, it is :math:`-\log \operatorname{softmax}(-\tau \bar e)_y` with the temperature
:math:`\tau`: the negative log-likelihood of the posterior by which a denoiser classifies (Li et al.
2023, equation 7), by few trials.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from diffclf_lightning.calibration import HOTTEST
from diffclf_lightning.candidates import Condition
from diffclf_lightning.denoisers import Denoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import Loss, Noised
from diffclf_lightning.ranges import check_number


class CandidateCrossEntropy:
    """Cross-entropy over the mean errors of candidates, beside the denoising loss.

    A step costs ``trials`` times ``candidates`` evaluations an image, whose gradients are in memory
    together.

    Args:
        weight: Factor on it; that of the denoising loss is 1.
        temperature: Factor on errors. Defaults to None: half the number of elements of a sample,
            which makes of mean squared errors of the noise the log-likelihood of noise of variance
            1; calibrated ones are higher.
        trials: Number of (time, noise) that all candidates of an image are evaluated at.
        candidates: Number of candidates of each image, the true one and others that are drawn anew
            at each step. Defaults to None: all.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(
        self,
        weight: float = 1.0,
        temperature: float | None = None,
        trials: int = 1,
        candidates: int | None = None,
    ) -> None:
        for name, value in (("weight", weight), ("temperature", temperature)):
            if value is not None:
                check_number(name, value, above=0, most=HOTTEST)
        for name, value, least in (("trials", trials, 1), ("candidates", candidates, 2)):
            if value is not None and value < least:
                raise InputError(
                    f"Expected argument `{name}` to be at least {least}, but got {value}."
                )
        self.weight, self.temperature = weight, temperature
        self.trials, self.candidates = trials, candidates

    def __call__(
        self,
        denoiser: Denoiser,
        noised: Noised,
        labels: Tensor,
        conditions: Mapping[int, Condition],
        loss: Loss,
    ) -> Tensor:
        """Cross-entropy of a batch, its mean over the images; the weight is not in it.

        Args:
            denoiser: The model.
            noised: Trials of the images, ``trials`` of each in a row, ``(batch * trials, ...)``.
            labels: Label of each image, shape ``(batch,)``.
            conditions: What the model is told of each label that there is.
            loss: The error.
        """
        asked = self.asked(labels.cpu(), torch.tensor(sorted(conditions)))
        size, shown = asked.shape
        some, places = asked.unique(return_inverse=True)
        told = denoiser.condition([conditions[int(label)] for label in some])
        device = noised.x_0.device
        trials = torch.arange(len(noised.x_0), device=device).repeat_interleave(shown)
        rows = Noised(noised.x_0[trials], noised.noise[trials], noised.at[trials])
        each = places.repeat_interleave(self.trials, dim=0).flatten()
        errors = loss(rows, denoiser.predict(rows, told.rows(each.to(device))))
        mean = errors.reshape(size, self.trials, shown).mean(dim=1)
        temperature = self.temperature or noised.x_0[0].numel() / 2
        right = torch.zeros(size, dtype=torch.int64, device=device)
        return F.cross_entropy(-temperature * mean, right)

    def asked(self, labels: Tensor, known: Tensor) -> Tensor:
        """Labels that the candidates of each image stand for, the true one first.

        Args:
            labels: Label of each image, int64, shape ``(batch,)``.
            known: All labels, int64, each once.

        Returns:
            int64, shape ``(batch, candidates)``; no label twice in a row.
        """
        rank = torch.rand(len(labels), len(known))
        rank[labels[:, None] == known] = -1
        return known[rank.argsort(dim=1)[:, : self.candidates]]
