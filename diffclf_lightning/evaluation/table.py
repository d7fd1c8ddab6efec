r"""The error table: what was evaluated, and all that follows from it.

Errors are ``e[i, c, j]`` for image ``i``, candidate ``c`` and trial ``j``, NaN where never
evaluated. A pruned candidate met fewer trials, at other timesteps, than the survivors, so that
plain means of the two must not be compared. They are compared over the trials in common: with
``b`` the best candidate, the *score* of ``c`` is
:math:`\bar e_b + \overline{(e_c - e_b)}_{\text{trials of } c}`. For candidates that met all trials
this is the plain mean.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from diffclf_lightning.errors import InputError


@dataclass
class ErrorTable:
    """Errors of a batch of images.

    Args:
        errors: Errors, float32, NaN where never evaluated, shape
            ``(images, candidates, trials)``.
        alive: Candidates that survived every block, bool, shape
            ``(images, candidates)``.
        labels: Label of each candidate, int64, shape ``(candidates,)``.
        others: Errors by other losses, by the name of the loss, as ``errors``.
    """

    errors: Tensor
    alive: Tensor
    labels: Tensor
    others: dict[str, Tensor] = field(default_factory=dict)

    def under(self, name: str) -> "ErrorTable":
        """The table by another loss.

        The loss that decided about pruning leaves one survivor. The other chooses anew, among the
        candidates that met as many trials as that one.

        Args:
            name: Name of the loss.

        Returns:
            The table.

        Raises:
            InputError: If the errors by that loss were not computed.
        """
        if name not in self.others:
            raise InputError(
                f"Expected the name of one of `other_losses` ({', '.join(self.others) or 'none'}), "
                f"but got {name!r}. Add it to them."
            )
        counts = self.counts
        finalists = counts == counts.amax(dim=1, keepdim=True)
        return ErrorTable(self.others[name], finalists, self.labels)

    @property
    def counts(self) -> Tensor:
        """Number of trials of each candidate, int64, shape ``(images, candidates)``."""
        return (~self.errors.isnan()).sum(dim=-1)

    @property
    def evaluations(self) -> Tensor:
        """Number of model evaluations of each image, int64, shape ``(images,)``."""
        return self.counts.sum(dim=-1)

    @property
    def means(self) -> Tensor:
        """Mean error of each candidate over its own trials, shape ``(images, candidates)``."""
        return self.errors.nanmean(dim=-1)

    @property
    def standard_errors(self) -> Tensor:
        """Standard error of each mean, NaN for a single trial; ``(images, candidates)``."""
        return _standard_error(self.errors)

    @property
    def best(self) -> Tensor:
        """Index of the candidate of lowest mean error among the survivors, ``(images,)``."""
        return self.means.masked_fill(~self.alive, torch.inf).argmin(dim=1)

    @property
    def predictions(self) -> Tensor:
        """Label of the best candidate of each image, shape ``(images,)``."""
        return self.labels[self.best]

    @property
    def differences(self) -> Tensor:
        """Error of each candidate less the best one's at the same trial, as ``errors``."""
        best = self.best[:, None, None].expand(-1, 1, self.errors.shape[-1])
        return self.errors - self.errors.gather(1, best)

    @property
    def scores(self) -> Tensor:
        """Comparable score of each candidate, lower is better; ``(images, candidates)``."""
        best_mean = self.means.gather(1, self.best[:, None])
        return best_mean + self.differences.nanmean(dim=-1)

    @property
    def difference_standard_errors(self) -> Tensor:
        """Standard error of each mean difference to the best; ``(images, candidates)``."""
        return _standard_error(self.differences)

    def best_candidates(self, num_labels: int) -> Tensor:
        """The candidate that stands for each label: the one of lowest score.

        Args:
            num_labels: Number of labels.

        Returns:
            Candidate indices, -1 for labels without a candidate, shape ``(images, num_labels)``.
        """
        scores = self.scores
        belongs = self.labels[None, :] == torch.arange(num_labels, device=scores.device)[:, None]
        masked = torch.where(belongs[None], scores[:, None, :], torch.inf)
        return masked.argmin(dim=-1).masked_fill(~belongs.any(dim=-1), -1)

    def label_scores(self, num_labels: int) -> Tensor:
        """Score of each label: the minimum over its candidates.

        Args:
            num_labels: Number of labels.

        Returns:
            Scores, infinite for labels without a candidate, shape ``(images, num_labels)``.
        """
        return self.per_label(self.scores, self.best_candidates(num_labels), torch.inf)

    @staticmethod
    def per_label(values: Tensor, best_candidates: Tensor, missing: float) -> Tensor:
        """Values of the candidates that stand for the labels.

        Args:
            values: Values of candidates, shape ``(images, candidates)``.
            best_candidates: From :meth:`best_candidates`.
            missing: Value of a label without a candidate.

        Returns:
            Values of labels, shape ``(images, labels)``.
        """
        gathered = values.gather(1, best_candidates.clamp(min=0))
        return gathered.masked_fill(best_candidates < 0, missing)

    def posterior(
        self, num_labels: int, temperature: float = 1.0, prior: Tensor | None = None
    ) -> Tensor:
        r"""Probability of each label, :math:`p(c|x) \propto p(c) \exp(-\tau E_c)` (Eq. 8).

        Args:
            num_labels: Number of labels.
            temperature: The factor :math:`\tau`; 1 is the paper's, which is close to uniform.
            prior: Class prior, shape ``(num_labels,)``; uniform when not given.

        Returns:
            Probabilities, float32, shape ``(images, num_labels)``.
        """
        logits = -temperature * self.label_scores(num_labels)
        if prior is not None:
            logits = logits + prior.to(logits).log()
        return logits.softmax(dim=-1)


def _standard_error(errors: Tensor) -> Tensor:
    present = ~errors.isnan()
    count = present.sum(dim=-1)
    centred = (errors - errors.nanmean(dim=-1, keepdim=True)).masked_fill(~present, 0)
    return (centred.square().sum(dim=-1) / (count - 1) / count).sqrt()
