"""Whether what was loaded is whole, and what is wrong with a folder that does not load.

``path`` is a pipeline's folder or hub id, as it was typed. What is wrong is said together with what
to do, without the final full stop. To refuse is to raise an InputError.
"""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import PreTrainedTokenizerBase

from diffclf_lightning.errors import InputError
from diffclf_lightning.extras import needed

GIT_LFS = b"version https://git-lfs.github.com/spec"
VARIANT = re.compile(r"[\w-]+\.(\w+)(-\d+-of-\d+)?\.(safetensors|bin)")
FETCH = "Fetch it again, whole"


def unusable(path: str | Path, reason: str) -> InputError:
    """The error of a pipeline that cannot be used for a reason."""
    return InputError(
        "Expected `pretrained_model_name_or_path` to be a whole diffusers pipeline (a hub id or a "
        f"folder with model_index.json and all that it names), but got {str(path)!r}: {reason}."
    )


def said(error: Exception) -> str:
    """The first sentence of what a library says; the next ones speak of its own arguments."""
    sentence = re.split(r"\.?\s*\n|\.\s|\.$", str(error).strip())[0]
    return " ".join(sentence.split()) or type(error).__name__


def variants(folder: Path) -> set[str]:
    """Variants (``fp16`` for instance) of the weights in a component's folder."""
    names = [VARIANT.fullmatch(file.name) for file in folder.glob("*")]
    return {match[1] for match in names if match}


def damage(folder: Path, variant: str | None) -> str | None:
    """What is known to be wrong with a component of which a variant does not load, if anything."""
    if reason := pointer(folder):
        return reason
    weights = sorted(file for file in folder.iterdir() if file.suffix in (".safetensors", ".bin"))
    found = sorted(variants(folder))
    if (folder / "config.json").is_file() and not weights:
        return f"its {folder.name}/*.safetensors is missing. {FETCH}, or give its `variant`"
    if found and variant not in found and all(VARIANT.fullmatch(file.name) for file in weights):
        return (
            f"its {folder.name} has weights of the variant {', '.join(found)} alone. "
            f'Give `variant="{found[0]}"`'
        )
    for file in weights:
        try:
            if file.suffix == ".safetensors":
                safe_open(file, framework="pt")
        except SafetensorError:
            return f"its {folder.name}/{file.name} is cut short or damaged. {FETCH}"
    return None


def pointer(folder: Path) -> str | None:
    """What to do about a Git LFS pointer in a folder, if there is one."""
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        with file.open("rb") as content:
            if content.read(len(GIT_LFS)) == GIT_LFS:
                return (
                    f"its {folder.name}/{file.name} is a Git LFS pointer, not the file itself. "
                    "Run `git lfs pull` in the folder"
                )
    return None


def check_weights(
    path: str | Path, name: str, model: nn.Module, information: Mapping[str, Any]
) -> None:
    """Refuse a network with weights that its files lack or have in another shape.

    Those that it has no place for are warned of.

    ``name`` is the component's, and ``information`` what its library says of the loading.
    """
    if different := sorted(information["mismatched_keys"]):
        key, stored, expected = different[0]
        raise unusable(
            path,
            f"its {name} has {key!r} in shape {tuple(stored)} where config.json says "
            f"{tuple(expected)}. {FETCH}",
        )
    unset = [key for key, value in model.named_parameters() if value.is_meta]
    if getattr(model, "hf_device_map", None):  # those that wait elsewhere are on no device
        unset = []
    missing = sorted({*information["missing_keys"], *unset})
    missing = [key for key in missing if not key.endswith("position_ids")]
    if missing:
        raise unusable(
            path, f"its {name} lacks {len(missing)} of its weights, {missing[0]!r} first. {FETCH}"
        )
    surplus = sorted(information["unexpected_keys"])
    if surplus and not name.startswith("text_encoder"):  # of which often a half is taken
        warnings.warn(
            f"{len(surplus)} weights of the {name} of {str(path)!r} have no place in the network "
            f"that its config.json describes, {surplus[0]!r} first: they are left aside. Check "
            "that the two belong together.",
            stacklevel=2,
        )


def check_tokenizer_files(
    path: str | Path, folder: Path, kind: type[PreTrainedTokenizerBase]
) -> None:
    """Refuse a tokenizer without the files that its class names, each with content.

    Transformers would make an empty one.
    """
    if reason := pointer(folder):
        raise unusable(path, reason)
    files = dict(kind.vocab_files_names)
    whole = files.pop("tokenizer_file", "tokenizer.json")
    vocabulary = [whole] if _has_content(folder / whole) else list(files.values()) or [whole]
    for file in ("tokenizer_config.json", *vocabulary):
        if not _has_content(folder / file):
            raise unusable(path, f"its {folder.name}/{file} is missing or empty. {FETCH}")


def check_reader(folder: Path) -> None:
    """Refuse the vocabulary of sentencepiece, as T5 and ChatGLM have it, where nothing reads it.

    Transformers would ask for another package.

    Raises:
        InputError: If a package is missing.
    """
    if any(folder.glob("*.model")) and not _has_content(folder / "tokenizer.json"):
        needed("sentencepiece", "sentencepiece")
        needed("google.protobuf", "sentencepiece")


def check_vocabulary(path: str | Path, name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that knows no tokens but the special ones, and so no prompt."""
    if not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):
        raise unusable(path, f"the vocabulary of its {name} is empty. {FETCH}")


def _has_content(file: Path) -> bool:
    """Whether there is more than the header with which a file of merges begins."""
    if not file.is_file():
        return False
    with file.open("rb") as lines:
        return any(line.strip() and not line.startswith(b"#version") for line in lines)
