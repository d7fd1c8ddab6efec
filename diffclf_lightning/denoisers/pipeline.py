"""Diffusers pipeline folders: how parts are laid out on disk."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RENAMED = {"TokenizersBackend": "PreTrainedTokenizerFast"}
"""Names of transformers 5 that version 4 has under another; version 5 knows both."""


def save_pipeline(
    folder: str | Path, name: str, parts: Mapping[str, Any], extra: Mapping[str, Any] | None = None
) -> None:
    """Write the parts of a pipeline as diffusers lays them out.

    Args:
        folder: The folder, made if need be.
        name: Class name of the pipeline.
        parts: Parts by their name in the pipeline; each has ``save_pretrained``.
        extra: Further entries of ``model_index.json``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, Any] = {"_class_name": name}
    for part, module in parts.items():
        module.save_pretrained(folder / part)
        kind = type(module).__name__
        index[part] = [type(module).__module__.split(".")[0], RENAMED.get(kind, kind)]
    index.update(extra or {})
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(0o644)
