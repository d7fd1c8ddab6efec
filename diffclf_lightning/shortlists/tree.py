r"""Shortlist by a label tree: what the candidates of a branch have in common, before each of them.

A node is evaluated as the mixture of the conditionings of its leaves with equal weights (embedding
rows for class ids, encoder states for prompts), or as the prompt of its own name. At each level the
nodes below those that were kept are evaluated, all on the same few trials; the best go on, until
leaves are reached (compare Shanbhag et al. 2024).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from diffclf_lightning.compiling import eager
from diffclf_lightning.denoisers import Conditioning, Denoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import (
    Full,
    GoldenGrid,
    Noised,
    Prediction,
    Timesteps,
    TrialSource,
    evaluate,
)
from diffclf_lightning.prompts import PromptEnsemble
from diffclf_lightning.shortlists.base import Choice, Shortlist
from diffclf_lightning.shortlists.label_tree import LabelTree, Nodes


class TreeShortlist(Shortlist):
    """The candidates at which a descent of a label tree arrives.

    Of the inner nodes that an image meets on a level the best ``width`` go on, and all do where
    there are no more, without being evaluated. Leaves that it meets are scored, on whatever level,
    and take no place of a node; other candidates are passed over. A leaf with several prompts is
    their mixture, and its score is theirs.

    Every class of the data has to be a leaf; leaves of other classes are left aside, and so are
    nodes with a single child.

    Args:
        tree: ``imagenet`` for WordNet's hypernyms of ImageNet's classes; else a YAML file, or a
            mapping, of the form ``{name: {name: [leaf, ...]}}``. Leaves are class names, matched
            as those of a model are, or synsets of ImageNet.
        keep: Candidates of each image that are kept. Defaults to None: as many as ``calibration``
            says, or else all that are reached.
        width: Inner nodes of each level that go on.
        trials: Trials of each node and leaf, at well-spread times.
        template: Prompt template with ``{}`` for the name of an inner node, which is then told in
            place of the mixture of its leaves. For models of prompts alone.
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote.

    Raises:
        InputError: If an argument is out of range, the tree is none, or the calibration is of
            another shortlist.
    """

    _nodes: Nodes
    _mixtures: "_Mixtures"
    _source: TrialSource

    def __init__(
        self,
        tree: str | Path | Mapping[str, Any],
        keep: int | None = None,
        width: int = 4,
        trials: int = 8,
        template: str | None = None,
        calibration: str | Path | None = None,
    ) -> None:
        for name, value in (("width", width), ("trials", trials)):
            if value < 1:
                raise InputError(
                    f"Expected argument `{name}` of TreeShortlist to be at least 1, but got "
                    f"{value}."
                )
        if template is not None:
            PromptEnsemble(template)  # says what is wrong with it
        self.tree, self.width, self.trials, self.template = tree, width, trials, template
        self._labels = LabelTree.of(tree)
        super().__init__(keep, calibration)

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {
            "tree": self._labels.digest(),
            "width": self.width,
            "trials": self.trials,
            "template": self.template,
        }

    @torch.no_grad()
    def bind(self, choice: Choice) -> Self:
        bound = super().bind(choice)
        names = choice.candidates.classnames
        if names is None:
            raise InputError(
                "Expected class names for the leaves of TreeShortlist, but neither the data nor "
                "the model has any. Give `classnames` in the order of labels."
            )
        leaf_of = self._labels.leaves_of(names)
        leaves = [leaf_of[label] for label in choice.candidates.own_labels]
        nodes = Nodes.of(self._labels.over({*leaves}), leaves).to(choice.device)
        told, weights = choice.conditioning.to(choice.device), nodes.members
        weights = weights / weights.sum(dim=1, keepdim=True)
        if self.template is not None and nodes.inner.any():
            own = self._prompts(choice.denoiser, nodes)
            told = Conditioning.cat([told, own.to(choice.device)])
            of_own = torch.eye(len(weights), device=choice.device)[:, nodes.inner]
            weights = weights.masked_fill(nodes.inner[:, None], 0)
            weights = torch.cat([weights, of_own], dim=1)
        bound._nodes, bound._mixtures = nodes, _Mixtures(choice.denoiser, told, weights)
        shape = choice.denoiser.sample_shape
        bound._source = TrialSource(GoldenGrid(), choice.noise, (self.trials,), shape)
        return bound

    def _prompts(self, denoiser: Denoiser, nodes: Nodes) -> Conditioning:
        """What the model is told of the inner nodes by their names."""
        inner = [nodes.names[place] for place in nodes.inner.nonzero()[:, 0].tolist()]
        return denoiser.condition([str(self.template).replace("{}", name) for name in inner])

    def evaluations(self, num_candidates: int) -> int:
        return self.trials * self._nodes.met_at_most(self.width)

    def scores(
        self, images: Tensor, x_0: Tensor, allowed: Tensor, evaluations_per_batch: int
    ) -> tuple[Tensor, Tensor]:
        nodes, width = self._nodes, self.width
        possible = allowed.float() @ nodes.members.T > 0
        scores = torch.full(possible.shape, torch.inf, dtype=torch.float32, device=x_0.device)
        spent = torch.zeros(len(x_0), dtype=torch.int64, device=x_0.device)
        below = nodes.top.expand_as(possible)
        while (met := below & possible).any():
            inner = met & nodes.inner
            rivals = inner & (inner.sum(dim=1, keepdim=True) > width)
            asked = rivals | (met & ~nodes.inner)
            errors = self._errors(images, x_0, asked, evaluations_per_batch)
            scores, spent = scores.minimum(errors), spent + self.trials * asked.sum(dim=1)
            order = errors.masked_fill(~rivals, torch.inf).argsort(dim=1, stable=True)
            onward = inner & (~rivals | (order.argsort(dim=1) < width))
            below = onward[:, nodes.parent] & ~nodes.top
        return scores[:, nodes.leaf], spent

    def _errors(
        self, images: Tensor, x_0: Tensor, asked: Tensor, evaluations_per_batch: int
    ) -> Tensor:
        """Mean errors of nodes, infinite where not asked for, shape ``(images, nodes)``."""
        errors = torch.full(asked.shape, torch.inf, dtype=torch.float32, device=x_0.device)
        some = asked.any(dim=1)
        if not some.any():
            return errors
        with eager():
            table = evaluate(
                self._mixtures,
                x_0[some],
                self._mixtures,
                self._source(images[some.to(images.device)]),
                Full(self.trials).bind(asked.shape[1], self._source.ends),
                [self.choice.loss],
                allowed=asked[some],
                names=self._nodes.names,
                evaluations_per_batch=evaluations_per_batch,
            )
        errors[some] = table[self.choice.loss.name].means.float().nan_to_num(nan=torch.inf)
        return errors


@dataclass(frozen=True)
class _Mixtures:
    """A model that is told mixtures, and their weights by node."""

    denoiser: Denoiser
    told: Conditioning
    weights: Tensor

    @property
    def num_rows(self) -> int:
        """Number of nodes."""
        return len(self.weights)

    @property
    def predicts_variance(self) -> bool:
        """See :attr:`Denoiser.predicts_variance`."""
        return self.denoiser.predicts_variance

    def rows(self, index: Tensor) -> Tensor:
        """Weights of some nodes."""
        return self.weights[index]

    def at(self, times: Sequence[Fraction]) -> Timesteps:
        """See :meth:`Denoiser.at`."""
        return self.denoiser.at(times)

    def predict(self, noised: Noised, weights: Tensor) -> Prediction:
        """See :meth:`Denoiser.predict_mixed`."""
        return self.denoiser.predict_mixed(noised, self.told, weights)
