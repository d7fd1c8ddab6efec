"""ContrastiveTraining: a small CLIP trained from scratch on images and their captions."""

import json
import math
import random
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from safetensors.torch import save_model
from torch import Tensor

from diffclf_lightning.answers import as_batch, readable
from diffclf_lightning.baselines.contrastive import ContrastiveClassifier
from diffclf_lightning.baselines.open_clip import CONFIG, preprocessing_of
from diffclf_lightning.denoisers.scratch import word_tokenizer
from diffclf_lightning.errors import InputError
from diffclf_lightning.extras import needed
from diffclf_lightning.optimization import make_optimizers, no_loss

WEIGHTS = "open_clip_model.safetensors"
LARGEST_SCALE = 100.0
"""Largest factor on cosines, as in CLIP (Radford et al. 2021, 2.5)."""
PREPROCESS = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def contrastive_loss(logits: Tensor, same: Tensor) -> Tensor:
    """The symmetric cross-entropy of CLIP, where pairs may share what they say.

    An image's target is spread evenly over the captions that say the same as its own, and a
    caption's over the images of which they are said, so that none of them counts as wrong. Where
    all pairs differ it is the loss of Radford et al. (2021, Figure 3).

    Args:
        logits: Of each image with each caption, shape ``(pairs, pairs)``.
        same: Which pairs say the same, symmetric, true on the diagonal, bool, of the same shape.

    Returns:
        The mean of both cross-entropies, natural logarithms.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> round(float(contrastive_loss(logits, torch.eye(2).bool())), 4)
        0.1269
    """
    targets = same / same.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


class ContrastiveTraining(ContrastiveClassifier):
    """Trains a new CLIP on images and captions, and validates it as a zero-shot classifier.

    The network is open_clip's own, with a tokenizer of whole words. Batches have ``image`` and
    ``caption``, a string each, or ``image`` and ``label``: a caption is then drawn for each image
    from the templates. Pairs of equal captions, or of one label, are no negatives of each other
    (:func:`contrastive_loss`). Each process compares the pairs of its own batch.

    Args:
        model: Configuration of the network as open_clip's JSON files have it: ``embed_dim``,
            ``vision_cfg``, ``text_cfg`` (of which the vocabulary is left out).
        words: Vocabulary of the captions.
        preprocess: Whatever of open_clip's ``preprocess_cfg`` is to differ from mean and standard
            deviation of 0.5, bicubic interpolation and a centre crop: ``mean``, ``std``,
            ``interpolation``, ``resize_mode``.
        optimizer: Makes the optimizer from the parameters. Defaults to None: AdamW with learning
            rate 1e-3, and no scheduler.
        lr_scheduler: Makes the learning-rate scheduler from the optimizer; stepped every step.
        **kwargs: ``template``, ``candidates``, ``classnames`` and ``task`` of
            :class:`ContrastiveClassifier`.

    Raises:
        InputError: If open_clip makes no network of the configuration.
    """

    def __init__(
        self,
        model: dict[str, Any],
        words: list[str],
        preprocess: dict[str, Any] | None = None,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
        **kwargs: Any,
    ) -> None:
        own = word_tokenizer(words, _context_length(model))
        tokenizer = _read(own)
        made = {**model, "text_cfg": {**model["text_cfg"], **_vocabulary(own)}}
        seen = {**PREPROCESS, **(preprocess or {})}
        try:
            network = needed("open_clip", "clip").CLIP(**deepcopy(made))
            seen["size"] = network.visual.image_size
            preprocessing = preprocessing_of(seen)
        except (TypeError, ValueError, AssertionError, LookupError, RuntimeError) as error:
            raise InputError(
                "Expected arguments `model` and `preprocess` to be what an open_clip_config.json "
                "has as `model_cfg` and `preprocess_cfg`, but got "
                f"{type(error).__name__}: {error}."
            ) from error
        super().__init__(network, tokenizer, preprocessing, "CLIP", **kwargs)
        self.own_tokenizer = own
        self.config = {"model_cfg": made, "preprocess_cfg": seen}
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Contrastive loss of a batch."""
        sample = readable(as_batch(batch))
        captioned = "caption" in sample
        sample = sample if captioned else self.training_batch(batch)
        images = sample["image"]
        if not len(images):
            return no_loss(self)
        meant = list(sample["caption"]) if captioned else sample["label"].tolist()
        captions = meant if captioned else self._captions(meant)
        distinct = list(dict.fromkeys(captions))
        texts = self.embed(distinct)[[distinct.index(caption) for caption in captions]]
        logits = self.compared(self.embed_images(images), texts)
        same = torch.tensor([[one == other for other in meant] for one in meant])
        loss = contrastive_loss(logits, same.to(logits.device))
        self.log("train/loss", loss, prog_bar=True, batch_size=len(images))
        return loss

    def _captions(self, labels: Sequence[int]) -> list[str]:
        """A caption of each label, drawn from its prompts."""
        of_label: dict[int, list[str]] = {}
        candidates = self.all_candidates
        for condition, label in zip(candidates.conditions, candidates.labels, strict=True):
            prompts = condition if isinstance(condition, tuple) else (str(condition),)
            of_label.setdefault(label, []).extend(prompts)
        return [random.choice(of_label[label]) for label in labels]

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Bound the factor on cosines."""
        network: Any = self.network
        with torch.no_grad():
            network.logit_scale.clamp_(0, math.log(LARGEST_SCALE))

    def configure_optimizers(self) -> Any:
        return make_optimizers(self, self.optimizer, self.lr_scheduler, lr=1e-3)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model as open_clip reads it (``local-dir:FOLDER``).

        Args:
            folder: The folder, made if need be.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        (target / CONFIG).write_text(json.dumps(self.config, indent=2) + "\n")
        save_model(self.network, str(target / WEIGHTS))
        self.own_tokenizer.save_pretrained(target)


def _context_length(model: Mapping[str, Any]) -> int:
    text = model.get("text_cfg")
    if not isinstance(text, Mapping) or not isinstance(text.get("context_length"), int):
        raise InputError(
            "Expected argument `model` to have a `text_cfg` with the `context_length` of captions "
            f"in tokens, begin and end included, but got {dict(model)}."
        )
    return int(text["context_length"])


def _read(own: Any) -> Any:
    """A tokenizer as open_clip reads it from a folder."""
    made = needed("open_clip.tokenizer", "clip").HFTokenizer
    with TemporaryDirectory() as folder:
        own.save_pretrained(folder)
        return made(folder, own.model_max_length)


def _vocabulary(tokenizer: Any) -> dict[str, Any]:
    """What of the configuration of a text encoder follows from its tokenizer."""
    return {
        "vocab_size": len(tokenizer),
        "hf_tokenizer_name": "words",  # whatever it says, open_clip takes the files beside it
        "pool_type": "eos",
        "eos_id": tokenizer.eos_token_id,
        "pad_id": tokenizer.pad_token_id,
    }
