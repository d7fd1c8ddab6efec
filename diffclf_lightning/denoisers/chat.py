"""Prompts as language models that chat read them: what a user said, in their own template."""

from collections.abc import Sequence
from typing import Any

from diffclf_lightning.errors import InputError


def as_chat(tokenizer: Any, prompts: Sequence[str], *, thinking: bool) -> list[str]:
    """What a user said to a language model that answers next.

    Args:
        tokenizer: Its tokenizer.
        prompts: What the user said.
        thinking: Whether the model may think before it answers.

    Raises:
        InputError: If the tokenizer has no chat template.
    """
    check_chat_template(tokenizer)
    return [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=thinking,
        )
        for prompt in prompts
    ]


def check_chat_template(tokenizer: Any) -> None:
    """Refuse a tokenizer or processor without a chat template.

    Args:
        tokenizer: The tokenizer.

    Raises:
        InputError: If it has none.
    """
    if tokenizer.chat_template is None:
        raise InputError(
            "Expected a tokenizer with a chat template, but got a "
            f"{type(tokenizer).__name__} without. Fetch the pipeline's `tokenizer` again, whole, "
            "with chat_template.jinja."
        )
