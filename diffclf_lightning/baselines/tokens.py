"""Tokens of prompts by a tokenizer of open_clip, none of which it cuts off unsaid."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from diffclf_lightning.denoisers.unknown_words import say_unknown
from diffclf_lightning.errors import InputError


def tokens_of(tokenizer: Any, prompts: Sequence[str]) -> Tensor:
    """Tokens of prompts.

    A tokenizer of open_clip cuts a prompt that is too long without a word: here each is read at
    twice the length too, and must come out as the same.

    Args:
        tokenizer: As ``open_clip.get_tokenizer`` gives it.
        prompts: The prompts.

    Returns:
        Token ids, int64, shape ``(prompts, tokenizer.context_length)``.

    Raises:
        InputError: If a prompt has more tokens than the model reads.
    """
    texts, length = list(prompts), int(tokenizer.context_length)
    tokens: Tensor = tokenizer(texts)
    longer = tokenizer([*texts, ""], 2 * length)
    # A tokenizer of this mode ends every prompt, after the padding, with a token for its class.
    ends = length - 1 if getattr(tokenizer, "tokenizer_mode", None) == "clips" else length
    cut = (tokens != longer[:-1, :length])[:, :ends].any(dim=1)
    cut |= longer[:-1, length] != longer[-1, length]
    if cut.any():
        prompt = texts[int(cut.nonzero()[0])]
        raise InputError(
            f"Expected prompts of at most {length} tokens, begin and end included, but {prompt!r} "
            "has more. Shorten the template or the class name."
        )
    say_unknown(
        {"tokenizer": getattr(tokenizer, "tokenizer", None)}, {"tokenizer": tokens.tolist()}, texts
    )
    return tokens
