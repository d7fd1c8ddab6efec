"""Words that a tokenizer does not know, which it passes over without a word."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any


def say_unknown(
    tokenizers: Mapping[str, Any], tokens: Mapping[str, Sequence[Sequence[int]]], prompts: Any
) -> bool:
    """Warn of a prompt with a word that a vocabulary does not have.

    Args:
        tokenizers: Tokenizers of transformers, by name.
        tokens: Token ids of each prompt, by the name of the tokenizer.
        prompts: The prompts.

    Returns:
        Whether there is one.
    """
    found = False
    for name, tokenizer in tokenizers.items():
        unknown = getattr(tokenizer, "unk_token_id", None)
        if unknown is None or unknown in (tokenizer.eos_token_id, tokenizer.pad_token_id):
            continue
        places = [place for place, ids in enumerate(tokens[name]) if unknown in ids]
        if places:
            found = True
            warnings.warn(
                f"{len(places)} of {len(prompts)} prompts have words that the model's {name} does "
                f"not know, as {prompts[places[0]]!r} does: it reads {tokenizer.unk_token} in "
                "their place.",
                stacklevel=3,
            )
    return found
