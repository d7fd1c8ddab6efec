"""GrammarTraining: a text encoder that learns from a grammar what its captions say."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser
from diffclf_lightning.optimization import make_optimizers
from diffclf_lightning.ranges import check_number
from diffclf_lightning.ranks import draw_apart

UNSAID = -100
"""What cross-entropy passes over."""


class Readers(nn.Module):
    """Reads from a text's hidden states what it says of each region, and of single words.

    A learned query for each region attends to the states; a linear map reads single words.

    Args:
        width: Width of the states.
        regions: Number of regions.
        kinds: Number of kinds of things, and of looks.
    """

    def __init__(self, width: int, regions: int, kinds: tuple[int, int]) -> None:
        super().__init__()
        self.kinds = kinds
        self.queries = nn.Parameter(0.5 * torch.randn(regions, width))
        self.keys, self.values = nn.Linear(width, width), nn.Linear(width, width)
        self.of_regions = nn.Linear(width, sum(kinds))
        self.of_words = nn.Linear(width, sum(kinds))

    def regions(self, states: Tensor) -> Tensor:
        """Logits of kinds and looks, shape ``(batch, regions, kinds + looks)``."""
        scale = self.queries.shape[1] ** 0.5
        attention = (self.queries @ self.keys(states).transpose(1, 2) / scale).softmax(dim=-1)
        logits: Tensor = self.of_regions(attention @ self.values(states))
        return logits

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Cross-entropy of kinds and of looks, for truths of shape ``(..., 2)``."""
        parts = logits.flatten(0, -2).split(list(self.kinds), dim=-1)
        pairs = zip(parts, truth.flatten(0, -2).unbind(dim=-1), strict=True)
        return torch.stack([F.cross_entropy(part, known) for part, known in pairs]).sum()


class GrammarTraining(LightningModule):
    """Trains the text encoder of a denoiser on captions alone, supervised by their grammar.

    From the last hidden states it must be read which thing a caption says would stand in each
    region, and how that looks; and the same of each word that names a thing. The readers are thrown
    away. Takes the batches of :class:`diffclf_lightning.datamodules.Scenes`: ``caption``,
    ``regions`` and ``words``.

    Args:
        denoiser: A text-to-image model, whose network is left as it is.
        regions: Number of regions.
        kinds: Number of kinds of things.
        looks: Number of looks.
        words_weight: Weight of what is read of single words.
        optimizer: Makes the optimizer from the parameters. Defaults to None: AdamW with learning
            rate 2e-3, and no scheduler.
        lr_scheduler: Makes the learning-rate scheduler from the optimizer; stepped every step.

    Raises:
        InputError: If a number is out of range.
    """

    def __init__(
        self,
        denoiser: TextConditionalDenoiser,
        regions: int = 4,
        kinds: int = 10,
        looks: int = 3,
        words_weight: float = 0.5,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        check_number("words_weight", words_weight, least=0)
        self.denoiser, self.words_weight = denoiser, words_weight
        denoiser.network.requires_grad_(requires_grad=False)
        denoiser.text_encoder.requires_grad_(requires_grad=True)
        width = denoiser.text_encoder.config.hidden_size
        self.readers = Readers(width, regions, (kinds, looks))
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler

    def on_fit_start(self) -> None:
        """Draw captions of this rank's own."""
        draw_apart(self.global_rank)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """What the readers get wrong."""
        captions, words, truth = batch["caption"], batch["words"], batch["regions"]
        states = self.denoiser.condition(captions)["encoder_hidden_states"]
        logits = self.readers.regions(states)
        loss = self.readers.loss(logits, truth)
        rows, numbers = (words[..., 0] != UNSAID).nonzero(as_tuple=True)
        named = words[rows, numbers]
        places = self._places(captions, rows.tolist(), named[:, 0].tolist())
        read = self.readers.of_words(states[rows, places])
        loss = loss + self.words_weight * self.readers.loss(read, named[:, 1:])
        said = truth[..., 0] != UNSAID
        right = (logits[..., : self.readers.kinds[0]].argmax(dim=-1) == truth[..., 0])[said]
        self.log("train/read", right.float().mean(), prog_bar=True, batch_size=len(states))
        self.log("train/loss", loss, prog_bar=True, batch_size=len(states))
        return loss

    def _places(self, captions: list[str], rows: list[int], words: list[int]) -> Tensor:
        """Places among the tokens of some captions' words."""
        encoded = self.denoiser.tokenizer(list(captions))
        spans = [encoded.word_to_tokens(*place) for place in zip(rows, words, strict=True)]
        return torch.tensor([span.end - 1 for span in spans], device=self.device)

    def configure_optimizers(self) -> Any:
        """Optimizer of the trainable parameters, and the scheduler, stepped every step."""
        return make_optimizers(self, self.optimizer, self.lr_scheduler, lr=2e-3)
