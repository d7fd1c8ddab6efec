"""How long prompts are for each tokenizer: none is cut without a word."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from diffclf_lightning.errors import InputError


class PromptLengths:
    """Prompts as the tokenizers of a model see them.

    Args:
        tokenizers: The tokenizers, by name.
        limits: Length of a prompt that each reads, in tokens, begin and end included.
        prompts: The prompts, as messages name them.
        spoken: The same, as the tokenizers read them.
    """

    def __init__(
        self,
        tokenizers: Mapping[str, Any],
        limits: Mapping[str, int],
        prompts: Sequence[str],
        spoken: Sequence[str],
    ) -> None:
        self.prompts = prompts
        self.limits = {name: limits[name] for name in tokenizers}
        self.tokens = {
            name: tokenizer(list(spoken), truncation=False, verbose=False)["input_ids"]
            for name, tokenizer in tokenizers.items()
        }
        """Token ids of each prompt, by the name of the tokenizer."""

    def check(self) -> None:
        """Refuse a prompt that no tokenizer reads whole.

        Raises:
            InputError: If there is one.
        """
        for place, prompt in enumerate(self.prompts):
            long = {name: len(ids[place]) for name, ids in self.tokens.items()}
            if all(length > self.limits[name] for name, length in long.items()):
                name = max(self.limits, key=self.limits.__getitem__)
                raise InputError(
                    f"Expected prompts of at most {self.limits[name]} tokens, but {prompt!r} has "
                    f"{long[name]} as the model reads it. Shorten the template or the class name."
                )

    def say_cut(self) -> bool:
        """Warn of prompts that a tokenizer cuts while another reads them; whether there are any."""
        found = False
        for name, ids in self.tokens.items():
            limit = self.limits[name]
            cut = [place for place, tokens in enumerate(ids) if len(tokens) > limit]
            if cut:
                found = True
                warnings.warn(
                    f"{len(cut)} of {len(self.prompts)} prompts are longer than {limit} tokens, as "
                    f"{self.prompts[cut[0]]!r} is: the model's {name} cuts them, and only its "
                    "other text encoders read them whole.",
                    stacklevel=3,
                )
        return found
