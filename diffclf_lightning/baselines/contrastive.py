"""ContrastiveClassifier: a pair of encoders, of images and of text, as a zero-shot classifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from diffclf_lightning.baselines.logits import LogitClassifier, Preprocessing
from diffclf_lightning.baselines.tokens import tokens_of
from diffclf_lightning.candidates import Candidates, Condition
from diffclf_lightning.errors import InputError
from diffclf_lightning.extras import needed
from diffclf_lightning.prompts import PromptEnsemble, Prompts
from diffclf_lightning.tasks import Task

PROMPTS_PER_BATCH = 256
ENSEMBLES = ("OPENAI_IMAGENET_TEMPLATES", "SIMPLE_IMAGENET_TEMPLATES")
"""Templates that open_clip has under a name."""


@dataclass(frozen=True)
class PreparedText:
    """Candidates that are ready to be compared with images.

    Args:
        labels: Label of each candidate.
        embeddings: Normalised text embeddings, float32, shape ``(candidates, width)``.
    """

    labels: Sequence[int]
    embeddings: Tensor


class ContrastiveClassifier(LogitClassifier):
    """Classifies an image by the prompt whose embedding is nearest (Radford et al. 2021, 3.1.2).

    The logit of a candidate is ``logit_scale * cosine`` (plus ``logit_bias`` where the model has
    one, as SigLIP does), so that probabilities at temperature 1 are those of CLIP. Where a
    candidate is several prompts, its embedding is the mean of their normalised embeddings,
    normalised again. An image costs one evaluation, of the image encoder.

    Args:
        network: A model of open_clip: ``encode_image``, ``encode_text``, ``logit_scale``.
        tokenizer: Its tokenizer, as ``open_clip.get_tokenizer`` gives it.
        preprocessing: Its preprocessing.
        name: What the network is called in results.
        template: Prompt template with ``{}`` for the class name; several, whose embeddings are
            averaged; or the name of an ensemble of open_clip, ``OPENAI_IMAGENET_TEMPLATES`` (80) or
            ``SIMPLE_IMAGENET_TEMPLATES`` (7).
        candidates: What to choose among, or prompts that make it from the class names. Defaults to
            None: ``template``.
        classnames: Class names in the order of labels. Defaults to None: the data module's.
        task: What sets ask. Defaults to None: one label an image.

    Raises:
        InputError: If the arguments contradict each other.
    """

    def __init__(
        self,
        network: nn.Module,
        tokenizer: Any,
        preprocessing: Preprocessing,
        name: str,
        template: str | list[str] | None = None,
        candidates: Candidates | Prompts | None = None,
        classnames: list[str] | None = None,
        task: Task | None = None,
    ) -> None:
        super().__init__(network, preprocessing, name, task)
        if candidates is not None and template is not None:
            raise InputError("Expected either `candidates` or `template`, but got both. Drop one.")
        self.tokenizer, self.classnames = tokenizer, classnames
        self.candidates = candidates
        if template is not None:
            self.candidates = PromptEnsemble(_templates(template), reduce="mean")

    def setup(self, stage: str) -> None:
        self.settle_task(getattr(self.trainer, "datamodule", None))
        if self.candidates is None and not self.task.brings_candidates:
            raise InputError(
                "Expected argument `template` or `candidates`, since the class names of the data "
                "are no sentences, but got neither. Give for instance template='a photo of a {}.', "
                f"or {ENSEMBLES[0]}."
            )
        super().setup(stage)

    def candidates_of(self, names: Sequence[str] | None) -> Candidates:
        if isinstance(self.candidates, Prompts):
            return self.candidates.candidates(names)
        if self.candidates is not None:
            return self.candidates
        if names is None:
            raise InputError(
                "Expected argument `template` or `candidates`, or prompts to choose among, but got "
                "none."
            )
        return Candidates(names, range(len(names)))  # names are whole prompts

    def names_of(self, candidates: Candidates) -> Sequence[str] | None:
        single = list(candidates.labels) == list(range(len(candidates)))
        return candidates.names if single else None

    @torch.no_grad()
    def prepare(self, candidates: Candidates) -> tuple[PreparedText, int]:
        return PreparedText(candidates.labels, self.embed(candidates.conditions)), 1

    def check_conditions(self, conditions: Sequence[Condition]) -> None:
        prompts = [prompt for condition in conditions for prompt in _prompts(condition)]
        if prompts:
            tokens_of(self.tokenizer, prompts)

    def embed(self, conditions: Sequence[Condition]) -> Tensor:
        """Normalised text embeddings, the normalised mean over the prompts of a tuple.

        Args:
            conditions: Prompts, or tuples of prompts.

        Returns:
            Embeddings, float32, shape ``(conditions, width)``.

        Raises:
            InputError: If a condition is no text, or has more tokens than the model reads.
        """
        groups = [_prompts(condition) for condition in conditions]
        tokens = tokens_of(self.tokenizer, [prompt for group in groups for prompt in group])
        network: Any = self.network
        every = torch.cat(
            [
                F.normalize(network.encode_text(part.to(self.device)).float(), dim=-1)
                for part in tokens.split(PROMPTS_PER_BATCH)
            ]
        )
        means = [group.mean(dim=0) for group in every.split([len(group) for group in groups])]
        return F.normalize(torch.stack(means), dim=-1)

    def embed_images(self, images: Tensor) -> Tensor:
        """Normalised image embeddings, float32, shape ``(images, width)``.

        Args:
            images: uint8 or floating point in [0, 1], shape ``(images, *shape)``; or of one
                channel, grey, which then is all three.
        """
        network: Any = self.network
        if images.ndim == 4 and images.shape[1] == 1:
            images = images.expand(-1, self.image_shape[0], -1, -1)
        return F.normalize(network.encode_image(self.normalised(images)).float(), dim=-1)

    def logits(self, images: Tensor, prepared: PreparedText) -> Tensor:
        return self.compared(self.embed_images(images), prepared.embeddings)

    def compared(self, images: Tensor, texts: Tensor) -> Tensor:
        """Logits of pairs, float32, shape ``(images, texts)``.

        Args:
            images: Normalised image embeddings, shape ``(images, width)``.
            texts: Normalised text embeddings, shape ``(texts, width)``.
        """
        network: Any = self.network
        with torch.autocast(images.device.type, enabled=False):
            logits: Tensor = network.logit_scale.float().exp() * (images @ texts.to(images).T)
            bias = getattr(network, "logit_bias", None)
            return logits if bias is None else logits + bias.float()


def _templates(template: str | list[str]) -> str | list[str]:
    """Templates of an ensemble by its name; others as they are."""
    if not isinstance(template, str) or "{" in template:
        return template
    if template not in ENSEMBLES:
        raise InputError(
            "Expected argument `template` with a place {} for the class name, or one of "
            f"{', '.join(ENSEMBLES)}, but got {template!r}."
        )
    metadata = needed("open_clip.zero_shot_metadata", "clip")
    return [filled("{}") for filled in getattr(metadata, template)]


def _prompts(condition: Condition) -> tuple[str, ...]:
    if isinstance(condition, int):
        raise InputError(
            f"Expected prompts, but got {condition!r}. This model takes text, not class ids: give "
            "`template`, or `candidates` with prompts."
        )
    return (condition,) if isinstance(condition, str) else tuple(condition)
