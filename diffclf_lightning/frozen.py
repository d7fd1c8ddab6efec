"""Checkpoints without the frozen weights of a pretrained model, which its own files have.

A denoiser with LoRA layers that knows where it was loaded from needs no more in a checkpoint than
what was trained, and a checksum of what was not.
"""

from typing import Any

from diffclf_lightning.errors import InputError

FROZEN = "frozen_weights"
"""Entry of a checkpoint with the checksum of the weights that it leaves out."""
PREFIX = "denoiser."
STATES = ("state_dict", "current_model_state")
"""Entries that hold weights; the second is that of averaged weights."""


def leave_out(checkpoint: dict[str, Any], denoiser: Any) -> None:
    """Drop the frozen weights of a denoiser, if it has LoRA layers and a source.

    Args:
        checkpoint: The checkpoint, which is changed.
        denoiser: The model whose weights it has.
    """
    if denoiser.lora is None or denoiser.source is None:
        return
    trained = {
        PREFIX + name for name, weight in denoiser.named_parameters() if weight.requires_grad
    }
    checkpoint[FROZEN] = denoiser.frozen
    for entry in STATES:
        if entry in checkpoint:
            checkpoint[entry] = {
                name: weight
                for name, weight in checkpoint[entry].items()
                if name in trained or not name.startswith(PREFIX)
            }


def fill_in(checkpoint: dict[str, Any], denoiser: Any) -> None:
    """Put the frozen weights of a denoiser into a checkpoint that has none.

    Args:
        checkpoint: The checkpoint, which is changed.
        denoiser: The model that it is to be loaded into.

    Raises:
        InputError: If the model has no LoRA layers, or is not the pretrained one that was trained.
    """
    if FROZEN not in checkpoint:
        return
    if denoiser.lora is None:
        raise InputError(
            "Expected a denoiser with the LoRA layers that the checkpoint has weights of, but got "
            "one without. Load it with the configuration of its training, or without a denoiser: "
            "`load_from_checkpoint(path)`."
        )
    if denoiser.frozen != checkpoint[FROZEN]:
        raise InputError(
            "Expected the pretrained model that the checkpoint's LoRA was trained on, but got "
            "other weights. Load that one, in the type that it had in training (`torch_dtype`)."
        )
    own = {PREFIX + name: weight for name, weight in denoiser.state_dict().items()}
    for entry in STATES:
        if entry in checkpoint:
            checkpoint[entry] = {**own, **checkpoint[entry]}
