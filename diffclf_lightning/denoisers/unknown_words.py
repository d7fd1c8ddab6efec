"""Words that a tokenizer does not know, which it passes over without a word."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def say_unknown(tokenizer: Any, prompts: Sequence[str], tokens: Tensor) -> bool:
    """Warn of a prompt with a word that the vocabulary does not have.

    Args:
        tokenizer: A tokenizer of transformers, or None for one that reads all words.
        prompts: The prompts.
        tokens: Their token ids, shape ``(prompts, length)``.

    Returns:
        Whether there is one.
    """
    unknown = getattr(tokenizer, "unk_token_id", None)
    if unknown is None or unknown in (tokenizer.eos_token_id, tokenizer.pad_token_id):
        return False
    found = (tokens == unknown).any(dim=1)
    if found.any():
        warnings.warn(
            f"{int(found.sum())} of {len(prompts)} prompts have words that the model does not "
            f"know, as {prompts[int(torch.nonzero(found)[0])]!r} does: it reads "
            f"{tokenizer.unk_token} in their place.",
            stacklevel=3,
        )
    return bool(found.any())
